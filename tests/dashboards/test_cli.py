"""What holds for every command."""

from importlib.metadata import version
from itertools import pairwise

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from meshslo.dashboards import commands
from meshslo.dashboards.cli import build, main
from meshslo.telemetry.discovery import members

APP = build()
NAMES = sorted(get_command(APP).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
def test_help_teaches_with_an_example(name: str) -> None:
    result = CliRunner().invoke(APP, [name, "--help"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert f"meshslo {name}" in result.output


def test_the_version_is_that_of_the_installed_package() -> None:
    told = CliRunner().invoke(APP, ["--version"])
    assert (told.exit_code, told.output) == (0, f"meshslo {version('meshslo')}\n")


@pytest.mark.parametrize("name", NAMES)
def test_help_fills_its_lines_in_a_narrower_terminal(name: str) -> None:
    told = CliRunner().invoke(build(boxes=True), [name, "--help"], env={"COLUMNS": "100", "TERMINAL_WIDTH": "100"}).output
    prose = [line.strip() for line in told.partition("╭")[0].splitlines()]
    broken = [(line, after) for line, after in pairwise(prose) if line and after and len(f"{line} {after.split()[0]}") < 97]
    assert broken == []


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in NAMES), ["recomend"], ["report", "--by"]])
def test_help_and_complaints_are_plain_in_a_pipe(arguments: list[str]) -> None:
    told = CliRunner().invoke(APP, arguments).output
    assert told.isascii()
    assert max(map(len, told.splitlines())) <= 100


def test_the_list_of_commands_says_the_whole_first_sentence_of_each() -> None:
    told = " ".join(CliRunner().invoke(APP, ["--help"]).output.split())
    for command in get_command(APP).commands.values():  # type: ignore[attr-defined]
        assert f"{command.name} {command.help.partition(chr(10))[0]}" in told


def test_every_command_file_is_registered() -> None:
    assert len(list(members(commands, "COMMAND"))) == len(NAMES)


def test_an_unknown_command_is_usage() -> None:
    result = CliRunner().invoke(APP, ["recomend"])
    assert result.exit_code == 2


def test_an_environment_with_a_part_of_the_extra_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("meshslo.dashboards.cli.find_spec", lambda name: None if name == "polars" else object())
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines() == [
        "meshslo's command line needs more than the instrumentation: pip install 'meshslo[analysis]'"
    ]
