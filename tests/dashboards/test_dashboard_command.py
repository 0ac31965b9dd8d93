"""`meshslo dashboard`: what it starts, and what it says where it cannot."""

import os
import signal
import subprocess
import sys
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.app.start import Start
from meshslo.dashboards.cli import build
from meshslo.dashboards.commands import dashboard
from meshslo.telemetry.errors import BadConfigError, BadInputError, StoreError
from tests.support.calls import make_call, make_calls
from tests.support.dashboard import filled, program, running
from tests.support.net import free_port


def run(*words: str) -> Any:
    return CliRunner().invoke(build(), ["dashboard", *words], catch_exceptions=False)


def command_line(**changes: Any) -> list[str]:
    settings = {"start": Start("s"), "host": "127.0.0.1", "port": 8501} | changes
    return dashboard.command_line(**settings)


def test_nothing_is_sent_anywhere_and_only_this_machine_is_served() -> None:
    words = command_line()
    assert words[0] == sys.executable
    assert {"--browser.gatherUsageStats=false", "--server.address=127.0.0.1", "--server.port=8501"} <= set(words)


def test_the_pages_get_what_the_command_was_given() -> None:
    start = Start("a b", "m.toml", ("k8s",), login=True)
    words = command_line(start=start, secrets=Path("s.toml"))
    assert Start.from_words(words[words.index("--") + 1 :]) == start
    assert "--secrets.files=s.toml" in words


@pytest.mark.parametrize(
    ("display", "headless"), [({}, "true"), ({"DISPLAY": ":0"}, "false"), ({"WAYLAND_DISPLAY": "w"}, "false")]
)
def test_a_browser_opens_only_where_there_is_a_display(
    monkeypatch: pytest.MonkeyPatch, display: dict[str, str], headless: str
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in display.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "platform", "linux")
    assert f"--server.headless={headless}" in command_line()


def test_what_to_install_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dashboard, "find_spec", lambda name: None if name == "streamlit" else find_spec(name))
    with pytest.raises(BadConfigError, match=r"needs streamlit: pip install 'meshslo\[dashboards\]'"):
        run("--store", "nowhere")


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        run("--store", str(tmp_path / "nothing"))


def test_no_manifests(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no such file or folder"):
        run("--store", str(filled(tmp_path / "store")), "--current", str(tmp_path / "nothing"))


def test_a_wrong_config(tmp_path: Path) -> None:
    (tmp_path / "meshslo.toml").write_text("objectivs = 1")
    with pytest.raises(BadConfigError, match='did you mean "objectives"'):
        run("--store", str(filled(tmp_path / "store")), "--config", str(tmp_path / "meshslo.toml"))


def test_secrets_without_a_login_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="--secrets is for a login"):
        run("--store", str(filled(tmp_path / "store")), "--secrets", "secrets.toml")


def test_a_login_that_cannot_work_is_refused(tmp_path: Path) -> None:
    (tmp_path / "meshslo.toml").write_text('[dashboard]\nlogin = "okta"\n')
    (tmp_path / "secrets.toml").write_text("")
    options = ("--config", str(tmp_path / "meshslo.toml"), "--secrets", str(tmp_path / "secrets.toml"))
    with pytest.raises(BadConfigError, match=r"there is no table \[auth\]"):
        run("--store", str(filled(tmp_path / "store")), *options)


@pytest.mark.parametrize(("host", "is_told"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_what_an_open_door_means_is_said(
    host: str, is_told: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    dashboard.guard(None, host, None)
    assert ("sees every tenant" in capsys.readouterr().err) == is_told


def test_help_ends_in_an_example() -> None:
    assert "Example: meshslo dashboard --store" in " ".join(run("--help").stdout.split())


@pytest.mark.system
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    store = filled(tmp_path / "store", make_calls([make_call()]))
    with running(store, tmp_path / "log") as served:
        with urllib.request.urlopen(f"{served.url}/_stcore/health", timeout=30) as answer:
            assert answer.read() == b"ok"
        children = children_of(served.process.pid)
        assert children
        served.process.send_signal(number)
        assert served.process.wait(timeout=60) == 0
        assert not [child for child in children if Path(f"/proc/{child}").exists()]


@pytest.mark.system
def test_a_port_in_use_ends_it_with_a_word(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", make_calls([make_call()]))
    with running(store, tmp_path / "log") as served:
        again = subprocess.run(
            program("--store", str(store), "--port", str(served.port)),
            capture_output=True,
            text=True,
            timeout=120,
            env=os.environ | {"COLUMNS": "200"},
        )
    assert again.returncode == 2
    assert f"port {served.port}" in again.stderr


def children_of(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_a_free_port_is_free() -> None:
    dashboard.require_free("127.0.0.1", free_port())
