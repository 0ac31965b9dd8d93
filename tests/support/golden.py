"""Golden files: what was emitted once and read by a person. `MESHSLO_GOLDEN=write` refreshes them; read the diff."""

import os
from pathlib import Path

from meshslo.analysis.emit import Emission


def assert_golden_text(path: Path, text: str) -> None:
    """The text is as in the file."""
    if os.environ.get("MESHSLO_GOLDEN") == "write":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()


def assert_golden(folder: Path, emission: Emission) -> None:
    """Each document is as in `folder`, and no file there is missing from the emission."""
    if os.environ.get("MESHSLO_GOLDEN") == "write":
        folder.mkdir(parents=True, exist_ok=True)
        for document in emission.documents:
            (folder / document.path).write_text(document.text)
    kept = {path.name: path.read_text() for path in sorted(folder.glob("*"))}
    assert {document.path: document.text for document in emission.documents} == kept
