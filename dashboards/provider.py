"""The identity provider of the dashboard's login, as Streamlit's secrets file describes it: looked at before anybody does."""

import tomllib
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from meshslo.telemetry.errors import BadConfigError

from .inputs import read_text

_SHARED: Final = ("redirect_uri", "cookie_secret")
_OWN: Final = ("client_id", "client_secret", "server_metadata_url")
_SHORTEST_SECRET: Final = 32
"""Characters; a cookie's signature is as hard to forge as this secret is to guess."""


def require_provider(name: str, secrets: Path | None) -> None:
    """BadConfigError, naming file and key, unless people can log in with the provider `name`.

    `secrets` is a secrets.toml; without it Streamlit's own places count, the later before the earlier.
    """
    if find_spec("authlib") is None:
        raise BadConfigError("dashboard.login needs Authlib: pip install 'meshslo[dashboards]'")
    files = [secrets] if secrets is not None else [path for path in _usual_places() if path.is_file()]
    if not files:
        raise BadConfigError(
            f'dashboard.login = "{name}" needs the provider in Streamlit\'s secrets file: pass --secrets FILE, or write '
            f"{' or '.join(map(str, _usual_places()))}; docs/dashboard.md shows one"
        )
    tables: dict[str, Any] = {}
    for path in files:
        tables |= _read(path)
    problem = _problem(tables.get("auth"), name)
    if problem:
        raise BadConfigError(f"{files[-1]}: {problem}; docs/dashboard.md shows such a file")


def _usual_places() -> Sequence[Path]:
    from streamlit.config import get_option

    return [Path(place) for place in get_option("secrets.files")]


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(read_text(path))
    except tomllib.TOMLDecodeError as error:
        raise BadConfigError(f"{path} is no TOML: {error}") from None


def _problem(auth: object, name: str) -> str | None:
    """What is wrong with the table `[auth]`; None where people can log in."""
    if not isinstance(auth, Mapping):
        return "there is no table [auth]"
    table, own = ("auth", auth) if name == "default" and "default" not in auth else (f"auth.{name}", auth.get(name))
    if not isinstance(own, Mapping):
        return f'there is no table [{table}], which dashboard.login = "{name}" asks for'
    lacking = [f"auth.{key}" for key in _SHARED if not auth.get(key)] + [f"{table}.{key}" for key in _OWN if not own.get(key)]
    if lacking:
        return f"{', '.join(lacking)} not given"
    if not str(auth["redirect_uri"]).endswith("/oauth2callback"):
        return f"auth.redirect_uri = {auth['redirect_uri']} does not end in /oauth2callback, where people come back to"
    if len(str(auth["cookie_secret"])) < _SHORTEST_SECRET:
        return f"auth.cookie_secret is shorter than {_SHORTEST_SECRET} characters: whoever guesses it is whoever they like"
    return None
