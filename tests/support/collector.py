"""A real `meshslo collect` process on free loopback ports."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.net import wait_for

_PROGRAM = "from meshslo.dashboards.cli import main; main()"


@dataclass
class Collector:
    """The process, its store, and where it listens."""

    process: "subprocess.Popen[bytes]"
    store: Path
    grpc: str
    http: str
    log: Path
    client: httpx.Client
    """For its HTTP port: one for all, since each that is made anew reads the certificates of the world."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """What it has said so far."""
        return [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]

    def stop(self) -> int:
        """End it as an operator does; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=300)

    def kill(self, *, all_of_it: bool = True) -> None:
        """SIGKILL to the collector and, with `all_of_it`, to its worker."""
        if all_of_it:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait(timeout=60)


@contextmanager
def running(folder: Path, *options: str, **environment: str) -> Iterator[Collector]:
    """A collector on `folder`/store until the block ends."""
    ready, log = folder / "ready.json", folder / "log.jsonl"
    ready.unlink(missing_ok=True)
    addresses = ["--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0"]
    command = [sys.executable, "-c", _PROGRAM, "collect", "--store", str(folder / "store"), *addresses]
    with log.open("ab") as target:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready), *options],
            stderr=target,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        wait_for(lambda: ready.exists() or process.poll() is not None, what="the collector starting", timeout_s=300)
        assert process.poll() is None, log.read_text()
        where = json.loads(ready.read_text())
        with httpx.Client(base_url=f"http://{where['http']}", verify=False, timeout=300) as client:
            yield Collector(process, folder / "store", where["grpc"], where["http"], log, client)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=60)
