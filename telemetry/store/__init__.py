"""The embedded store: a write-ahead log that loses nothing acknowledged, and Parquet by hour that anything can read.

`open_store` gives a `Store` with `scan` and `append`. A collector also uses `Journal` (to acknowledge) and `ingest` (to move
what was acknowledged into Parquet).
"""

from .ingest import Appended
from .store import Store, open_store

__all__ = ["Appended", "Store", "open_store"]
