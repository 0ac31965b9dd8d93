"""Changes of the store that happen as a whole: files that appear and files that go, decided by one rename.

A commit is a small JSON file in STORE/commits. Once it is there, the change has happened: who reads the store counts the files
it publishes as there (under their temporary names if need be) and the files it drops as gone. Carrying it out (the renames and
the unlinks) can be repeated and finished by whoever comes next. Call files that others may be reading are unlinked after a
grace time.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from .atomic import TEMPORARY, sync_folder, write_atomically
from .layout import Layout
from .segments import fresh_name

GRACE_S: Final = 900.0
"""How long a superseded Parquet file stays for those who listed it before it was superseded."""


@dataclass(frozen=True)
class Change:
    """Files to publish as (temporary, final), to drop at once, to drop after the grace time. Paths are relative to the root."""

    publish: tuple[tuple[str, str], ...] = ()
    drop: tuple[str, ...] = ()
    supersede: tuple[str, ...] = ()


@dataclass(frozen=True)
class Commit:
    """A change that has been decided, and when (seconds since the epoch)."""

    path: Path
    change: Change
    at_s: float = field(default=0.0)


def decide(layout: Layout, change: Change) -> Commit:
    """Make `change` happen; its files must be on the disk already. The caller holds the write lock and carries it out next."""
    at_s = time.time()
    path = layout.commits / f"{fresh_name()}.json"
    write_atomically(path, json.dumps({"at_s": at_s, **asdict(change)}).encode())
    return Commit(path, change, at_s)


def pending(layout: Layout) -> list[Commit]:
    """Commits that are not carried out in full, oldest first; one that vanishes meanwhile has been."""
    found = (_read(path) for path in sorted(layout.commits.glob("*.json")))
    return [commit for commit in found if commit is not None]


def _read(path: Path) -> Commit | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    publish = tuple((temporary, final) for temporary, final in content["publish"])
    return Commit(path, Change(publish, tuple(content["drop"]), tuple(content["supersede"])), content["at_s"])


def carry_out(layout: Layout, commit: Commit) -> None:
    """Publish and drop the files of `commit`; it stays as a note of superseded files until their grace time is over."""
    folders = {_publish(layout.root / temporary, layout.root / final) for temporary, final in commit.change.publish}
    for folder in sorted(folder for folder in folders if folder is not None):
        sync_folder(folder)
    _unlink(layout, commit.change.drop)
    if not commit.change.supersede or time.time() - commit.at_s >= GRACE_S:
        _unlink(layout, commit.change.supersede)
        commit.path.unlink(missing_ok=True)
        sync_folder(layout.commits)


def _publish(temporary: Path, final: Path) -> Path | None:
    """Rename, unless an earlier try has done so; the folder that changed."""
    if not temporary.exists():
        return None
    temporary.rename(final)
    return final.parent


def _unlink(layout: Layout, names: Iterable[str]) -> None:
    for name in names:
        path = layout.root / name
        path.unlink(missing_ok=True)
        if layout.calls in path.parents:
            _remove_empty(path.parent, layout.calls)


def _remove_empty(folder: Path, top: Path) -> None:
    """Remove `folder` and those above it, below `top`, that are empty by now."""
    while folder != top and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def settle(layout: Layout) -> None:
    """Carry out every decided change and remove temporary files that no change publishes. The caller holds the write lock."""
    for commit in pending(layout):
        carry_out(layout, commit)
    kept = {temporary for commit in pending(layout) for temporary, _ in commit.change.publish}
    leftovers = (
        *(path for folder in (layout.calls, layout.metrics) for path in folder.rglob(f"*{TEMPORARY}")),
        *layout.wal.glob(f"*{TEMPORARY}"),
        *layout.root.glob(f".*{TEMPORARY}"),
    )
    for temporary in leftovers:
        if layout.relative(temporary) not in kept:
            temporary.unlink(missing_ok=True)
