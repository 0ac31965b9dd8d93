"""`meshslo dashboard`: the Streamlit dashboard on a store."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption

from . import Command

if TYPE_CHECKING:
    import subprocess

_Host = Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")]
_Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives and limits; meshslo.toml here, if there is one.")]
_Current = Annotated[list[Path] | None, typer.Option("--current", help="Manifests in use, files or folders (repeat).")]

FIXED: Final = {
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": "false",
    "theme.light.primaryColor": "#0072B2",
    "theme.dark.primaryColor": "#56B4E9",
}
"""Options of Streamlit that are not the reader's to choose: nothing is sent anywhere, errors stay on this side."""


def dashboard(
    store: StoreOption = DEFAULT_STORE,
    port: _Port = 8501,
    host: _Host = "127.0.0.1",
    config: _Config = None,
    current: _Current = None,
) -> None:
    """Serve the dashboard: the chain, latency, streams, recommendations with their price, data quality.

    It reads the store while a collector writes it. Ctrl-C ends it.

    Example: meshslo dashboard --store ./meshslo-store --port 8501
    """
    import subprocess

    _require()
    _check(store, config, current or [])
    require_free(host, port)
    with subprocess.Popen(command_line(store, host, port, config, current or [])) as child:  # noqa: S603 - our own words
        raise typer.Exit(_wait(child))


def command_line(store: str, host: str, port: int, config: Path | None, current: list[Path]) -> list[str]:
    """How Streamlit is started: in this environment, with nothing left to its own settings that matters."""
    from meshslo.dashboards import app
    from meshslo.dashboards.app.start import Start

    script = str(Path(app.__path__[0], "main.py"))
    options = FIXED | {"server.address": host, "server.port": str(port), "server.headless": str(not _has_display()).lower()}
    start = Start(store, None if config is None else str(config), tuple(map(str, current)))
    flags = [f"--{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", script, *flags, "--", *start.to_words()]


def _require() -> None:
    """Say what to install where the extra is absent."""
    from meshslo.telemetry.errors import BadConfigError

    absent = [name for name in ("streamlit", "plotly") if find_spec(name) is None]
    if absent:
        raise BadConfigError(f"the dashboard needs {' and '.join(absent)}: pip install 'meshslo[dashboards]'")


def require_free(host: str, port: int) -> None:
    """BadConfigError where something listens there already, or the address is none of this machine's."""
    import socket

    from meshslo.telemetry.errors import BadConfigError

    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise BadConfigError(f"{host} port {port} cannot be served ({error.strerror or error}): pass another --port") from None


def _check(store: str, config: Path | None, current: list[Path]) -> None:
    """Complain here and now of what no page could show: no store, a wrong config, no manifests."""
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import read_config, read_manifests

    open_store(store, limits=read_config(config).limits)
    read_manifests(current)


def _has_display() -> bool:
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _wait(child: "subprocess.Popen[bytes]") -> int:
    """The exit code of the child, which gets the signals that we get; 0 where one of them ended it."""
    import signal

    told: list[int] = []

    def forward(number: int, _: object) -> None:
        told.append(number)
        child.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    code = child.wait()
    return 0 if told else code


COMMAND = Command(dashboard)
