"""The identity provider in the secrets file: what is wrong with it is said before anybody logs in."""

from pathlib import Path
from typing import Any

import pytest

from meshslo.dashboards import provider
from meshslo.dashboards.provider import require_provider
from meshslo.telemetry.errors import BadConfigError

SHARED = f'[auth]\nredirect_uri = "https://slo.example.com/oauth2callback"\ncookie_secret = "{"s" * 32}"\n'
OWN = 'client_id = "c"\nclient_secret = "x"\nserver_metadata_url = "https://id.example.com/.well-known/openid-configuration"\n'


def written(folder: Path, text: str) -> Path:
    path = folder / "secrets.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("default", SHARED + OWN),
        ("default", SHARED + "[auth.default]\n" + OWN),
        ("okta", SHARED + "[auth.okta]\n" + OWN),
    ],
)
def test_a_provider_that_is_all_there(tmp_path: Path, name: str, text: str) -> None:
    require_provider(name, written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("default", "[other]\n", r"secrets\.toml: there is no table \[auth\]"),
        ("default", SHARED, r"auth\.client_id, auth\.client_secret, auth\.server_metadata_url not given"),
        ("okta", SHARED + OWN, r'no table \[auth\.okta\], which dashboard\.login = "okta" asks for'),
        ("okta", SHARED + "[auth.okta]\n" + OWN.replace("client_id", "id"), r"auth\.okta\.client_id not given"),
        ("default", SHARED.replace("/oauth2callback", "") + OWN, r"does not end in /oauth2callback"),
        ("default", SHARED.replace("s" * 32, "short") + OWN, r"cookie_secret is shorter than 32 characters"),
        ("default", "[auth", r"secrets\.toml is no TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, words: str) -> None:
    with pytest.raises(BadConfigError, match=words):
        require_provider(name, written(tmp_path, text))


def test_streamlits_own_places_count_the_later_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "early").mkdir()
    places = [written(tmp_path / "early", SHARED), tmp_path / "secrets.toml"]
    monkeypatch.setattr(provider, "_usual_places", lambda: places)
    with pytest.raises(BadConfigError, match=r"early/secrets\.toml: auth\.client_id"):
        require_provider("default", None)
    written(tmp_path, SHARED + OWN)
    require_provider("default", None)


def test_no_secrets_file_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "_usual_places", lambda: [tmp_path / "secrets.toml"])
    with pytest.raises(BadConfigError, match=r"pass --secrets FILE, or write .*secrets\.toml; docs/dashboard\.md"):
        require_provider("default", None)


def test_authlib_is_named_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> Any:
        return None if name == "authlib" else True

    monkeypatch.setattr(provider, "find_spec", find)
    with pytest.raises(BadConfigError, match=r"pip install 'meshslo\[dashboards\]'"):
        require_provider("default", None)
