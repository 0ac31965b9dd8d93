"""Locks on a store: one collector, and one change of the calls at a time. The kernel frees them when a process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from meshslo.telemetry.errors import StoreError

from .layout import Layout


@contextmanager
def collector_lock(layout: Layout) -> Iterator[None]:
    """Hold the store as its only collector; StoreError at once where another one runs."""
    descriptor = os.open(layout.collector_lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(descriptor, 32, 0).decode().strip() or "unknown"
            raise StoreError(
                f"{layout.root}: another collector (process {holder}) writes to this store; stop it, or pass another --store"
            ) from error
        os.truncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def write_lock(layout: Layout) -> Iterator[None]:
    """Hold the right to change the calls; waits for whoever has it (a collector's step or an import: seconds)."""
    descriptor = os.open(layout.write_lock, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
