"""The writer of the log: many callers wait, one thread appends what they brought and fsyncs once for all of them."""

import errno
import os
import shutil
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from meshslo.telemetry.errors import StoreError

from .atomic import sync_folder
from .layout import Layout
from .segments import OPEN, SEALED, fresh_name
from .wal import Kind, pack

_MIB = 2**20


class StoreBusyError(StoreError):
    """The store cannot take more now; sending the same again later is right."""


@dataclass(frozen=True)
class JournalSettings:
    """When a segment is sealed, how much may wait for the disk, and how much room must be left on it.

    The room is what moving the log into Parquet needs: a disk filled to the brim with log could never be emptied again.
    """

    segment_bytes: int = 16 * _MIB
    seal_after_s: float = 2.0
    max_waiting_bytes: int = 64 * _MIB
    min_free_bytes: int = 128 * _MIB


@dataclass
class JournalStats:
    """What the writer has done since it started; read by the health endpoint."""

    records: int = 0
    size_bytes: int = 0
    syncs: int = 0
    sync_s: float = 0.0
    longest_sync_s: float = 0.0
    failures: int = 0


@dataclass
class _Open:
    """The segment that is being written; `size_bytes` is how much of it is whole records on the disk."""

    path: Path
    descriptor: int
    opened_s: float
    size_bytes: int = 0


@dataclass
class _Item:
    record: bytes
    done: "Future[None]" = field(default_factory=Future)


class Journal:
    """Appends records durably. `append` may be called from any thread; the future is done once the record is on the disk."""

    def __init__(self, layout: Layout, settings: JournalSettings | None = None) -> None:
        self._layout = layout
        self._settings = settings or JournalSettings()
        self._changed = threading.Condition()
        self._waiting: list[_Item] = []
        self._waiting_bytes = 0
        self._closing = False
        self._segment: _Open | None = None
        self.stats = JournalStats()
        self._thread = threading.Thread(target=self._run, name="meshslo-journal", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes of records that are not yet on the disk."""
        return self._waiting_bytes

    def append(self, kind: Kind, payload: bytes) -> "Future[None]":
        """A future that is done once `payload` is on the disk, or fails with StoreBusyError when it could not be written.

        Raises StoreBusyError at once when too much waits already, StoreError after `close`.
        """
        item = _Item(pack(kind, time.time_ns(), payload))
        with self._changed:
            if self._closing:
                raise StoreError(f"{self._layout.root}: the store is closing")
            if self._waiting and self._waiting_bytes + len(item.record) > self._settings.max_waiting_bytes:
                raise StoreBusyError(f"{self._waiting_bytes} bytes wait for the disk already; send again later")
            self._waiting.append(item)
            self._waiting_bytes += len(item.record)
            self._changed.notify()
        return item.done

    def close(self) -> None:
        """Write what waits, seal the segment, end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write_until_closed()
        finally:
            self._refuse_rest()

    def _write_until_closed(self) -> None:
        while True:
            group, closing = self._next_group()
            if group:
                self._commit(group)
            if closing or self._is_due():
                self._seal()
            if closing:
                return

    def _next_group(self) -> tuple[list[_Item], bool]:
        """Everything that waits now, and whether this is the last of it; empty when it is time to look at the clock."""
        with self._changed:
            if not self._waiting and not self._closing:
                self._changed.wait(timeout=self._settings.seal_after_s / 4 if self._segment else None)
            group, self._waiting = self._waiting, []
            return group, self._closing

    def _refuse_rest(self) -> None:
        """Leave nobody waiting for a thread that has ended, were it by a fault."""
        with self._changed:
            self._closing = True
            rest, self._waiting = self._waiting, []
        for item in rest:
            item.done.set_exception(StoreError(f"{self._layout.root}: the journal has stopped"))

    def _commit(self, group: list[_Item]) -> None:
        error: StoreBusyError | None = None
        try:
            self._write(b"".join(item.record for item in group))
            self.stats.records += len(group)
        except OSError as cause:
            self.stats.failures += 1
            error = StoreBusyError(f"{self._layout.wal}: {cause.strerror}; nothing of this was kept, send it again later")
            self._abandon()
        with self._changed:
            self._waiting_bytes -= sum(len(item.record) for item in group)
        for item in group:
            # A caller that went away has cancelled its future; its record is stored all the same.
            if item.done.set_running_or_notify_cancel():
                item.done.set_result(None) if error is None else item.done.set_exception(error)

    def _write(self, block: bytes) -> None:
        self._check_room(len(block))
        segment = self._segment or self._new_segment()
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(segment.descriptor, rest) :]
        began_s = time.monotonic()
        os.fdatasync(segment.descriptor)
        self._count_sync(time.monotonic() - began_s)
        segment.size_bytes += len(block)
        self.stats.size_bytes += len(block)

    def _check_room(self, size_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self._layout.wal).free
        if free_bytes - size_bytes < self._settings.min_free_bytes:
            raise OSError(errno.ENOSPC, f"{free_bytes} bytes are free and {self._settings.min_free_bytes} must stay so")

    def _count_sync(self, took_s: float) -> None:
        self.stats.syncs += 1
        self.stats.sync_s += took_s
        self.stats.longest_sync_s = max(self.stats.longest_sync_s, took_s)

    def _new_segment(self) -> _Open:
        path = self._layout.wal / f"{fresh_name()}{OPEN}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._segment = _Open(path, descriptor, time.monotonic())
        sync_folder(path.parent)
        return self._segment

    def _is_due(self) -> bool:
        segment = self._segment
        if segment is None:
            return False
        is_old = time.monotonic() - segment.opened_s >= self._settings.seal_after_s
        return is_old or segment.size_bytes >= self._settings.segment_bytes

    def _abandon(self) -> None:
        """Go on with a new segment after a failed write: after a failed fsync nobody knows what the old one holds.

        Its unacknowledged end is cut off if the disk still allows it; if not, replay sees it as records or as a torn tail.
        """
        segment = self._segment
        if segment is None:
            return
        try:
            os.ftruncate(segment.descriptor, segment.size_bytes)
        except OSError:
            self.stats.failures += 1
        self._seal()

    def _seal(self) -> None:
        """Close the open segment under the name by which the worker takes it; an empty one goes."""
        segment, self._segment = self._segment, None
        if segment is None:
            return
        os.close(segment.descriptor)
        if segment.size_bytes:
            segment.path.rename(segment.path.with_suffix(SEALED))
        else:
            segment.path.unlink()
