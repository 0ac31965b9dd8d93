"""The collector's second process: moves sealed segments into Parquet, step by step.

    python -m meshslo.telemetry.store.worker STORE SETTINGS_JSON

It is told on standard input: `flush` means take everything and end; the end of the input means that the collector has died, so
end at once. It tells on standard output, one JSON object a line, whose "event" is "step", "kept", "failed" or "set_aside".
"""

import json
import os
import queue
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TextIO

from . import commits
from .housekeeping import KeepSettings, Kept, WorkerSettings, keep
from .ingest import IngestSettings, Step, ingest, set_aside
from .known import KnownRows
from .layout import Layout, open_layout
from .locks import write_lock
from .pace import Pace
from .segments import all_segments, sealed

_STEP_EVERY_S: Final = 5.0
_LOOK_EVERY_S: Final = 0.5
_KEEP_EVERY_S: Final = 60.0
_NICE: Final = 5
FLUSH: Final = "flush"


@dataclass
class Worker:
    """Runs steps on a store and tells about them through `tell`."""

    layout: Layout
    settings: WorkerSettings
    tell: Callable[[dict[str, Any]], None]
    pace: Pace = field(default_factory=Pace)
    _last: Step = field(default_factory=Step)
    _known: KnownRows = field(default_factory=KnownRows)
    _stepped_s: float = 0.0
    _kept_s: float = 0.0

    def run(self, orders: "queue.SimpleQueue[str | None]") -> None:
        """Step whenever there is something to do, until told to flush (`FLUSH`) or to end (None)."""
        with write_lock(self.layout):
            commits.settle(self.layout)
        while True:
            busy = self._has_work()
            try:
                order = orders.get(timeout=0.0 if busy else _LOOK_EVERY_S)
            except queue.Empty:
                if time.time() - self._kept_s >= _KEEP_EVERY_S:
                    self.keep_house()
                elif busy:
                    self.step()
                continue
            if order == FLUSH:
                self.flush()
            return

    def flush(self) -> None:
        """Take every sealed segment, waiting for no more spans; what a full disk refuses stays in the log."""
        while sealed(self.layout) and self.step(flush=True):
            pass

    def step(self, *, flush: bool = False) -> bool:
        """One step; whether it succeeded. What cannot be turned into calls is set aside, so that the rest goes on."""
        began_s = time.process_time()
        try:
            self._last = ingest(self.layout, self.settings.ingest, flush=flush, known=self._known)
        except OSError as error:
            return self._failed(error)
        except Exception:  # noqa: BLE001  whatever a decoder stumbles over, the other segments must go on
            return self._step_one_by_one()
        self._stepped_s = time.time()
        if self._last.size_bytes >= self.settings.ingest.max_step_bytes / 2:
            self.pace.learn(self._last.size_bytes, time.process_time() - began_s)
        if self._last.segments:
            self.tell({"event": "step", **asdict(self._last)})
        return True

    def keep_house(self) -> None:
        """Merge small files and retire old ones."""
        self._kept_s = time.time()
        try:
            kept = keep(self.layout, self.settings.keep)
        except OSError as error:
            self._failed(error)
            return
        if kept != Kept():
            self.tell({"event": "kept", **asdict(kept)})

    def _step_one_by_one(self) -> bool:
        """Take each segment by itself, and set aside those that fail even then."""
        alone = IngestSettings(settle_s=0, max_step_bytes=1)
        for _ in sealed(self.layout):
            oldest = sealed(self.layout)[0]
            try:
                ingest(self.layout, alone, flush=True)
            except OSError as error:
                return self._failed(error)
            except Exception:  # noqa: BLE001  as in `step`
                set_aside(self.layout, oldest)
                self.tell({"event": "set_aside", "segment": oldest.name, "reason": traceback.format_exc()})
        return True

    def _failed(self, error: OSError) -> bool:
        """Tell what the disk refused; its segments stay, and the next step tries again."""
        self.tell({"event": "failed", "reason": f"{error.filename or self.layout.root}: {error.strerror or error}"})
        time.sleep(_LOOK_EVERY_S)
        return False

    def _has_work(self) -> bool:
        segments = [path for path in sealed(self.layout) if path.name != self._last.carried_in]
        if not segments:
            return self._last.next_due_s is not None and time.time() >= self._last.next_due_s
        waited = time.time() - self._stepped_s >= _STEP_EVERY_S
        full = sum(path.stat().st_size for path in segments) >= self.settings.ingest.max_step_bytes
        return (waited or full) and not self._rests()

    def _rests(self) -> bool:
        unread = [path for path in all_segments(self.layout) if path.name != self._last.carried_in]
        return self.pace.rests(unread, time.time(), shutil.disk_usage(self.layout.wal).free)


def _listen(orders: "queue.SimpleQueue[str | None]", descriptor: int) -> None:
    # Not through sys.stdin: its lock, held by a waiting thread, would abort the interpreter's shutdown.
    rest = b""
    while chunk := os.read(descriptor, 4096):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            orders.put(line.decode().strip())
    orders.put(None)


def main(store: str, settings: str) -> None:
    """Work on `store` until told to end."""
    # Those who wait for an acknowledgement go first; what is in the log is safe and can wait.
    os.nice(_NICE)
    for number in (signal.SIGINT, signal.SIGTERM):
        # The collector gets these too, and tells us to flush when its own part is done.
        signal.signal(number, signal.SIG_IGN)
    orders: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders, sys.stdin.fileno()), daemon=True).start()
    worker = Worker(open_layout(store), read_settings(settings), lambda event: _say(sys.stdout, event))
    try:
        worker.run(orders)
    except BrokenPipeError:
        # The collector was killed: nobody is left to tell, and the next one takes what is still in the log.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def read_settings(text: str) -> WorkerSettings:
    """The settings that the collector passes as JSON."""
    given = json.loads(text)
    return WorkerSettings(IngestSettings(**given["ingest"]), KeepSettings(**given["keep"]))


def _say(target: TextIO, event: dict[str, Any]) -> None:
    target.write(json.dumps(event) + "\n")
    target.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
