"""`meshslo pull`: one subcommand a kind of server, its flags from the puller's settings."""

import pytest
from typer.testing import CliRunner

from meshslo.dashboards.cli import build


def said(*arguments: str) -> str:
    result = CliRunner().invoke(build(), arguments, env={"COLUMNS": "200", "TERM": "dumb"})
    return f"{result.exit_code} {result.output}"


def test_it_lists_the_kinds_of_servers() -> None:
    text = said("pull", "--help")
    assert text.startswith("0")
    assert all(name in text for name in ("jaeger", "prometheus", "tempo"))


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("prometheus", ("--profile", "--step", "--match", "--config")),
        ("jaeger", ("--service", "--limit", "--slice")),
        ("tempo", ("--limit",)),
    ],
)
def test_each_kind_has_the_common_flags_and_its_own(name: str, flags: tuple[str, ...]) -> None:
    text = said("pull", name, "--help")
    assert all(flag in text for flag in (*flags, "--store", "--since", "--bearer-file", "--org-id"))
    assert f"Example: meshslo pull {name} " in text


def test_a_kind_that_there_is_not() -> None:
    assert said("pull", "nagios", "http://localhost").startswith("2")


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--header", "X-Team"), "--header X-Team has no value"),
        (("--since", "tomorrow"), "'tomorrow' is no time"),
        (("--basic-file", "/nowhere"), "credentials in /nowhere cannot be read"),
    ],
)
def test_usage_is_checked_before_anything_is_asked(flags: tuple[str, str], reason: str) -> None:
    result = CliRunner().invoke(build(), ["pull", "prometheus", "http://127.0.0.1:1", *flags])
    assert reason in str(result.exception)
