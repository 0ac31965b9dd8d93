"""Children are always stopped, and one that dies is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meshslo.demo.processes import DemoError, Processes, free_ports, listens
from tests.support.net import wait_for

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
SERVE = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', {port})); s.listen(); time.sleep(600)"


def test_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


@pytest.mark.system
def test_children_end_with_the_block_also_on_an_error(tmp_path: Path) -> None:
    processes = Processes(tmp_path)

    def interrupted() -> None:
        with processes:
            processes.start("sleeper", SLEEP)
            started.append(processes.children["sleeper"])
            raise KeyboardInterrupt

    started: list[subprocess.Popen[bytes]] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert started[0].poll() is not None


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_amid_a_start_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    popen = subprocess.Popen
    started: list[subprocess.Popen[bytes]] = []

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started.append(popen(*arguments, **options))
        os.kill(os.getpid(), number)
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), Processes(tmp_path) as processes:
        processes.start("sleeper", SLEEP)
    assert started[0].poll() is not None
    assert signal.getsignal(number) is before


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_amid_the_end_waits_for_it(tmp_path: Path, number: signal.Signals) -> None:
    class Ending(Processes):
        def stop(self, *names: str) -> None:
            os.kill(os.getpid(), number)
            super().stop(*names)

    with pytest.raises(KeyboardInterrupt), Ending(tmp_path) as processes:
        processes.start("sleeper", SLEEP)
    assert not processes.children


@pytest.mark.system
def test_a_child_that_dies_is_named_with_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("mayfly", [sys.executable, "-c", "raise SystemExit('no fuel')"])
        with pytest.raises(DemoError, match=r"mayfly ended with exit code 1; .*no fuel"):
            processes.wait_for(lambda: False, "take-off")


@pytest.mark.system
def test_what_does_not_happen_in_time_is_named(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        processes.start("sleeper", SLEEP)
        with pytest.raises(DemoError, match="take-off did not happen within 0 s"):
            processes.wait_for(lambda: False, "take-off", timeout_s=0.0)


@pytest.mark.system
def test_a_child_can_be_replaced_on_its_port(tmp_path: Path) -> None:
    [port] = free_ports(1)
    serve = [sys.executable, "-c", SERVE.format(port=port)]
    with Processes(tmp_path) as processes:
        processes.start("server", serve)
        processes.wait_for(lambda: listens(port), "listening")
        processes.stop("server")
        wait_for(lambda: not listens(port), what="the port's release")
        assert not processes.children
