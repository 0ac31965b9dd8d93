"""`meshslo collect` on the command line: ready, stopped, refused."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.store import open_store
from tests.support.collector import running
from tests.support.net import free_port
from tests.support.otlp import make_batch

pytestmark = pytest.mark.system
PROTOBUF = {"Content-Type": "application/x-protobuf"}


def meshslo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    program = "from meshslo.dashboards.cli import main; main()"
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=60)


def refused(*arguments: str) -> str:
    """What is said on standard error, in this process, before anything is started; the exit code is 2."""
    found = CliRunner().invoke(build(), ["collect", *arguments])
    if isinstance(found.exception, MeshsloError):
        # As the command's own `main` tells it, with exit code 2.
        return str(found.exception)
    assert found.exit_code == 2, found.output
    return found.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_flushes_to_parquet_and_exits_0(tmp_path: Path, number: int) -> None:
    with running(tmp_path) as collector:
        assert httpx.post(f"http://{collector.http}/v1/traces", content=make_batch(5), headers=PROTOBUF).status_code == 200
        os.killpg(collector.process.pid, number)
        assert collector.process.wait(timeout=60) == 0
    assert [event["event"] for event in collector.events] == ["ready", "stopping", "stopped"]
    assert collector.events[-1]["rows"] == 5
    assert len(list(collector.store.rglob("*.parquet"))) == 1
    assert open_store(collector.store).scan().collect().height == 5


def test_the_ready_line_and_file_say_where_it_listens(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        ready = collector.events[0]
        assert json.loads((tmp_path / "ready.json").read_text()) == {
            "grpc": collector.grpc,
            "http": collector.http,
            "pid": collector.process.pid,
        }
        assert (ready["event"], ready["grpc"], ready["http"]) == ("ready", collector.grpc, collector.http)


def test_a_second_collector_on_the_store_is_refused(tmp_path: Path) -> None:
    with running(tmp_path) as collector:
        done = meshslo("collect", "--store", str(collector.store), "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
        assert done.returncode == 2
        assert f"another collector (process {collector.process.pid}) writes to this store" in done.stderr
        assert httpx.get(f"http://{collector.http}/healthz").status_code == 200


def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    with running(tmp_path, "--settle", "0") as collector:
        children = Path(f"/proc/{collector.process.pid}/task/{collector.process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)
        httpx.post(f"http://{collector.http}/v1/traces", content=make_batch(3), headers=PROTOBUF)
        from tests.support.net import wait_for

        wait_for(lambda: list(collector.store.rglob("*.parquet")) != [], what="the second worker's step", timeout_s=60)
        assert "worker_died" in [event["event"] for event in collector.events]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--grpc", "0.0.0.0:0"], "--grpc 0.0.0.0:0 can be reached from other machines"),
        (["--http", "nowhere"], "'nowhere' is no address"),
        (["--settle", "-1"], "--settle"),
        (["--max-gib", "0"], "--max-gib"),
        (["--ready-file", "/nowhere/at/all/ready"], "there is no folder /nowhere/at/all"),
    ],
)
def test_a_bad_setting_is_one_sentence_and_exit_2(tmp_path: Path, arguments: list[str], complaint: str) -> None:
    assert complaint in refused("--store", str(tmp_path / "store"), *arguments)


def test_a_folder_that_is_no_store_is_one_sentence_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    told = refused("--store", str(tmp_path))
    assert len(told.strip().splitlines()) == 1
    assert "holds other files and no meshslo-store.json" in told


@pytest.mark.parametrize("port", ["--grpc", "--http"])
def test_a_port_that_is_taken_is_named(tmp_path: Path, port: str) -> None:
    import socket

    number = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", number))
        taken.listen()
        other = "--http" if port == "--grpc" else "--grpc"
        done = meshslo("collect", "--store", str(tmp_path / "s"), port, f"127.0.0.1:{number}", other, "127.0.0.1:0")
    assert done.returncode == 2
    assert f"cannot listen on 127.0.0.1:{number}" in done.stderr
    assert "Traceback" not in done.stderr


def test_help_ends_in_an_example() -> None:
    told = CliRunner().invoke(build(), ["collect", "--help"]).stdout
    assert "Example: meshslo collect --store" in " ".join(told.split())
