"""A store to look at, and a real `meshslo dashboard` process on a free loopback port."""

import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from meshslo.telemetry.store import open_store

from .net import free_port, wait_for

_PROGRAM = "from meshslo.dashboards.cli import main; main()"


def filled(path: Path, calls: pl.DataFrame | None = None) -> Path:
    """The store at `path`, with `calls` added."""
    store = open_store(path, create=True)
    if calls is not None:
        store.append(calls, source="test")
    return path


def program(*options: str) -> list[str]:
    """The command line of `meshslo dashboard`."""
    return [sys.executable, "-c", _PROGRAM, "dashboard", *options]


@dataclass(frozen=True)
class Served:
    """The process and its port."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(store: Path, log: Path, *options: str, port: int | None = None) -> Iterator[Served]:
    """A dashboard on `store` until the block ends, on a free port unless one is given; what it says goes to `log`."""
    port = port or free_port()
    command = program("--store", str(store), "--port", str(port), *options)
    with log.open("wb") as target:
        process = subprocess.Popen(command, stdout=target, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: _is_up(port) or process.poll() is not None, what="the dashboard starting", timeout_s=120)
        assert process.poll() is None, log.read_text()
        yield Served(process, port)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
