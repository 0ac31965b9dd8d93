"""`meshslo dashboard`: the Streamlit dashboard on a store."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, err

from . import Command

if TYPE_CHECKING:
    import subprocess

    from meshslo.analysis.config import Config
    from meshslo.dashboards.app.start import Start

_Host = Annotated[str, typer.Option(help="Address to listen on; the default is this machine alone.")]
_Port = Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives and limits; meshslo.toml here, if there is one.")]
_Secrets = Annotated[
    Path | None,
    typer.Option("--secrets", help="Streamlit's secrets.toml with the identity provider; else where Streamlit looks."),
]
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
    secrets: _Secrets = None,
) -> None:
    """Serve the dashboard: the chain, latency, streams, recommendations with their price, objectives, data quality.

    It reads the store while a collector writes it. Ctrl-C ends it. With `dashboard.login` in the config people log in (OpenID
    Connect), and see the tenants that `dashboard.users` and `dashboard.groups` give them: docs/dashboard.md.

    Example: meshslo dashboard --store ./meshslo-store --port 8501
    """
    import subprocess

    from meshslo.dashboards.app.start import Start

    _require()
    login = _check(store, config, current or []).dashboard.login
    guard(login, host, secrets)
    require_free(host, port)
    start = Start(store, None if config is None else str(config), tuple(map(str, current or [])), login is not None)
    with subprocess.Popen(command_line(start, host, port, secrets)) as child:  # noqa: S603 - our own words
        raise typer.Exit(_wait(child))


def command_line(start: "Start", host: str, port: int, secrets: Path | None = None) -> list[str]:
    """How Streamlit is started: in this environment, with nothing left to its own settings that matters."""
    from meshslo.dashboards import app

    script = str(Path(app.__path__[0], "main.py"))
    options = FIXED | {"server.address": host, "server.port": str(port), "server.headless": str(not _has_display()).lower()}
    if secrets is not None:
        options["secrets.files"] = str(secrets)
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


def _check(store: str, config: Path | None, current: list[Path]) -> "Config":
    """The config; complains here and now of what no page could show: no store, a wrong config, no manifests."""
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import read_config, read_manifests

    settings = read_config(config)
    open_store(store, limits=settings.limits)
    read_manifests(current)
    return settings


def guard(login: str | None, host: str, secrets: Path | None) -> None:
    """Whoever is asked to log in must be able to; who opens the dashboard to others without a login is told what that means."""
    from meshslo.dashboards.provider import require_provider
    from meshslo.telemetry.errors import BadConfigError

    if login is not None:
        require_provider(login, secrets)
    elif secrets is not None:
        raise BadConfigError('--secrets is for a login: set [dashboard] login = "default" in the config, or leave it out')
    elif not _is_loopback(host):
        sentence = f"nobody logs in, so whoever reaches {host} sees every tenant: [dashboard] login in the config changes that"
        err().print(sentence, markup=False, soft_wrap=True)


def _is_loopback(host: str) -> bool:
    # As telemetry.collect.settings has it, which would bring the whole collector along.
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
