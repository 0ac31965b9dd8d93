"""Files that are there in full or not at all, also after a power cut."""

import os
from pathlib import Path

TEMPORARY = ".tmp"


def sync_file(path: Path) -> None:
    """Return once the content of `path` is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Return once the names in the folder `path` are on the disk: a rename or a new file is durable only then."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path` durably: temporary name, fsync, rename, fsync of the folder."""
    temporary = path.with_name(f".{path.name}{TEMPORARY}")
    temporary.write_bytes(content)
    sync_file(temporary)
    temporary.rename(path)
    sync_folder(path.parent)
