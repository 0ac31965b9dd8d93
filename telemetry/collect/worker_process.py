"""The handle on the worker process: starts it, hears it, starts it again when it dies, and has it flush at the end."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from meshslo.telemetry.store.ingest import IngestSettings
from meshslo.telemetry.store.worker import FLUSH

from .events import Say

_RESTART_S: Final = 1.0
_NEWS: Final = frozenset({"failed", "set_aside"})


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
            self.totals.update({name: event[name] for name in ("segments", "spans", "rows", "duplicates")})
            self.totals["damaged"] += len(event["damaged"])
            self.carried = event["carried"]
            self.last_step_s = time.time()


class WorkerProcess:
    """Runs `meshslo.telemetry.store.worker` on a store for as long as the collector lives."""

    def __init__(self, store: Path, settings: IngestSettings, say: Say) -> None:
        self._command = [sys.executable, "-m", "meshslo.telemetry.store.worker", str(store), json.dumps(asdict(settings))]
        self._say = say
        self._stopping = False
        self.stats = WorkerStats()
        self._process = self._start()
        self._listener = threading.Thread(target=self._listen, name="meshslo-worker", daemon=True)
        self._listener.start()

    def flush(self) -> None:
        """Have everything sealed moved to Parquet and the worker end; returns when it has."""
        self._stopping = True
        self._order(FLUSH)
        self._listener.join()

    def _start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own module

    def _order(self, order: str) -> None:
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101  opened as a pipe
        try:
            pipe.write(order + "\n")
            pipe.flush()
        except BrokenPipeError:
            self._say("worker_gone", note="it had ended already; what it left is in the log and is taken at the next start")

    def _listen(self) -> None:
        while True:
            self._hear_until_it_ends()
            if self._stopping:
                return
            self.stats.restarts += 1
            self._say("worker_died", status=self._process.returncode, note="started again")
            time.sleep(_RESTART_S)
            self._process = self._start()

    def _hear_until_it_ends(self) -> None:
        pipe = self._process.stdout
        assert pipe is not None  # noqa: S101  opened as a pipe
        with pipe:
            for line in pipe:
                event = json.loads(line)
                self.stats.hear(event)
                if event["event"] in _NEWS or event.get("damaged"):
                    self._say(f"worker_{event.pop('event')}", **event)
        self._process.wait()
