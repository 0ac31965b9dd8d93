"""Pages of docs/ that are made from measurements: `python -m tests.pages` writes them, a test holds them current."""
