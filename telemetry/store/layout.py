"""Where things lie in a store directory, and how one is made and recognised.

STORE/meshslo-store.json                              marker with the format's version
STORE/wal/TIME-ID.open, .seg                          acknowledged spans not yet in Parquet: being written, sealed
STORE/calls/date=YYYY-MM-DD/hour=HH/*.parquet         call rows by their own start hour (UTC)
STORE/metrics/PROFILE/SOURCE/*.parquet                metric series, pulled or sent
STORE/streams.arrow                                   what each stream of sent metrics said last
STORE/folds/LEVEL/START/*.parquet                     rollups of finished hours, days and months; only spare reading calls
STORE/counted.arrow                                   running counts of the calls collected, for /metrics
STORE/commits/*.json                                  changes decided but not yet carried out in full
STORE/damaged/                                        segments that could not be read in full, kept as evidence
STORE/collector.lock, write.lock                      held by a running collector; by whoever changes the calls now
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshslo.telemetry.errors import StoreError

from .atomic import write_atomically

FORMAT: Final = 1
MARKER: Final = "meshslo-store.json"
_MADE_BY_FILE_SYSTEMS: Final = frozenset({"lost+found"})


@dataclass(frozen=True)
class Layout:
    """Paths below the root of a store."""

    root: Path

    @property
    def marker(self) -> Path:
        """The file that makes a directory a store."""
        return self.root / MARKER

    @property
    def wal(self) -> Path:
        """Folder of the write-ahead segments."""
        return self.root / "wal"

    @property
    def calls(self) -> Path:
        """Folder of the Parquet files."""
        return self.root / "calls"

    @property
    def metrics(self) -> Path:
        """Folder of the metric series; absent until there are any."""
        return self.root / "metrics"

    @property
    def streams(self) -> Path:
        """What each stream of sent metrics said last; absent until there are any."""
        return self.root / "streams.arrow"

    @property
    def commits(self) -> Path:
        """Folder of the decided changes."""
        return self.root / "commits"

    @property
    def damaged(self) -> Path:
        """Folder of segments kept as evidence."""
        return self.root / "damaged"

    @property
    def collector_lock(self) -> Path:
        """Held for as long as a collector runs on the store."""
        return self.root / "collector.lock"

    @property
    def write_lock(self) -> Path:
        """Held while calls are added or moved."""
        return self.root / "write.lock"

    def relative(self, path: Path) -> str:
        """`path` as the commits name it."""
        return path.relative_to(self.root).as_posix()


def open_layout(path: str | Path, *, create: bool = False) -> Layout:
    """The layout of the store at `path`; with `create`, an absent or empty directory becomes an empty store.

    Raises StoreError where `path` is no store, was made by a newer version, or may not be used.
    """
    layout = Layout(Path(path))
    try:
        if create and not layout.marker.exists():
            _create(layout)
        _check(layout)
    except OSError as error:
        raise StoreError(
            f"{error.filename or path}: {error.strerror}; the store must be a directory this user may use"
        ) from error
    return layout


def _create(layout: Layout) -> None:
    root = layout.root
    if root.exists() and not root.is_dir():
        raise StoreError(f"{root} is a file: name a directory for the store")
    if root.is_dir() and {path.name for path in root.iterdir()} - _MADE_BY_FILE_SYSTEMS:
        raise StoreError(f"{root} holds other files and no {MARKER}: name a new or empty directory for the store")
    for folder in (layout.wal, layout.calls, layout.commits, layout.damaged):
        folder.mkdir(parents=True, exist_ok=True)
    # Segments hold what services sent as it came, prompts perhaps among it, until the wanted columns have been taken out.
    for folder in (layout.wal, layout.damaged):
        folder.chmod(0o700)
    write_atomically(layout.marker, json.dumps({"format": FORMAT, "made_by": "meshslo"}).encode())


def _check(layout: Layout) -> None:
    root = layout.root
    if not root.exists():
        raise StoreError(
            f"{root} does not exist: `meshslo collect --store {root}` or `meshslo import FILE --store {root}` makes it"
        )
    if not layout.marker.is_file():
        raise StoreError(f"{root} is no meshslo store (there is no {MARKER} in it): pass the directory that was collected into")
    version = _version(layout.marker)
    if version > FORMAT:
        raise StoreError(f"{root} was made by a newer meshslo (format {version}, this one reads {FORMAT}): upgrade meshslo")


def _version(marker: Path) -> int:
    try:
        version = json.loads(marker.read_bytes())["format"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(f"{marker} is not readable as a store's marker: restore it as {{'format': {FORMAT}}}") from error
    if not isinstance(version, int) or version < 1:
        raise StoreError(f"{marker}: format {version!r} is no version; this meshslo reads {FORMAT}")
    return version
