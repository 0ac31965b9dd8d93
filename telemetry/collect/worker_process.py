"""The handle on the worker process: starts it, hears it, starts it again when it dies, and has it flush at the end."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from meshslo.telemetry.store.housekeeping import WorkerSettings
from meshslo.telemetry.store.worker import FLUSH

from .events import Say

_RESTART_S: Final = 1.0
_MAX_RESTARTS: Final = 5
_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_STEP_COUNTS: Final = (
    "segments",
    "spans",
    "rows",
    "duplicates",
    "metric_points",
    "metric_repeats",
    "metric_baselines",
    "metric_surplus",
)
_ENVIRONMENT: Final = {
    "POLARS_MAX_THREADS": "1",
    "MALLOC_MMAP_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""One thread, which does as much for its CPU time, so that the worker leaves the other core to those who wait for an answer.

The allocator keeps up to 64 MiB from step to step, since mapping each column anew took a quarter of a step's time; what is
beyond that goes back, since else it would keep the most that a step ever needed.
"""
_NEWS: Final = frozenset({"failed", "set_aside", "kept"})


@dataclass
class WorkerStats:
    """What the worker has told since the collector started."""

    totals: Counter[str] = field(default_factory=Counter)
    carried: int = 0
    last_step_s: float | None = None
    restarts: int = 0

    def hear(self, event: dict[str, Any]) -> None:
        """Count an event of the worker."""
        self.totals[event["event"]] += 1
        if event["event"] == "step":
            self.totals.update({name: event[name] for name in _STEP_COUNTS})
            self.totals["damaged"] += len(event["damaged"])
            self.carried = event["carried"]
            self.last_step_s = time.time()
        elif event["event"] == "kept":
            self.totals.update({name: event[name] for name in ("merged_files", "retired_files", "retired_bytes")})


class WorkerProcess:
    """Runs `meshslo.telemetry.store.worker` on a store for as long as the collector lives."""

    def __init__(self, store: Path, settings: WorkerSettings, say: Say) -> None:
        self._command = [sys.executable, "-m", "meshslo.telemetry.store.worker", str(store), json.dumps(asdict(settings))]
        self._say = say
        self._changing = threading.Lock()
        self._flushing = False
        self.stats = WorkerStats()
        self._process = self._start()
        self._listener = threading.Thread(target=self._listen, name="meshslo-worker", daemon=True)
        self._listener.start()

    def flush(self) -> None:
        """Have everything sealed moved to Parquet and the worker end; returns when it has."""
        with self._changing:
            self._flushing = True
            self._order_flush()
        self._listener.join()

    def _start(self) -> "subprocess.Popen[str]":
        # The worker inherits the mask: a Ctrl-C meant for the collector must not end it before it has said to ignore it.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
        try:
            return subprocess.Popen(  # noqa: S603  our own module
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_ENVIRONMENT | os.environ
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)

    def _order_flush(self) -> None:
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  opened as a pipe
        # A worker that has died breaks the pipe; the listener starts another and orders again.
        with contextlib.suppress(BrokenPipeError):
            pipe.write(FLUSH + "\n")
            pipe.flush()

    def _listen(self) -> None:
        while not self._ended_as_ordered():
            self.stats.restarts += 1
            self._say("worker_died", status=self._process.returncode)
            if self._flushing and self.stats.restarts > _MAX_RESTARTS:
                self._say("worker_given_up", note="what it left is in the log and is taken at the next start")
                return
            time.sleep(_RESTART_S)
            with self._changing:
                self._process = self._start()
                if self._flushing:
                    self._order_flush()

    def _ended_as_ordered(self) -> bool:
        """Hear the worker until it ends; whether that was because it had flushed."""
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101  opened as a pipe
        with pipe:
            for line in pipe:
                self._hear(json.loads(line))
        return self._process.wait() == 0 and self._flushing

    def _hear(self, event: dict[str, Any]) -> None:
        self.stats.hear(event)
        if event["event"] in _NEWS or event.get("damaged"):
            self._say(f"worker_{event.pop('event')}", **event)
