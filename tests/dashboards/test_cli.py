"""What holds for every command."""

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from meshslo.dashboards import commands
from meshslo.dashboards.cli import build
from meshslo.telemetry.discovery import members

APP = build()
NAMES = sorted(get_command(APP).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_help_teaches_with_an_example(name: str) -> None:
    result = CliRunner().invoke(APP, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"meshslo {name}" in result.output


def test_every_command_file_is_registered() -> None:
    assert len(list(members(commands, "COMMAND"))) == len(NAMES)


def test_an_unknown_command_is_usage() -> None:
    result = CliRunner().invoke(APP, ["recomend"])
    assert result.exit_code == 2
