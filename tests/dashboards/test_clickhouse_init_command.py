"""`meshslo clickhouse-init`: prints what it would run, and runs it, without harm to what is there."""

import pytest
from typer.testing import CliRunner

from meshslo.analysis import open_store
from meshslo.dashboards.cli import build
from meshslo.telemetry.errors import StoreError
from tests.support import otel_traces
from tests.support.chdb import engine, engine_url

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("chdb")]

MADE = {"meshslo_cells", "meshslo_fronts", "meshslo_live", "meshslo_live_view"}


def said(*arguments: str) -> str:
    result = CliRunner().invoke(build(), ("clickhouse-init", *arguments), env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, result.output
    return result.output


def tables() -> set[str]:
    return {row[0] for row in engine().query("SHOW TABLES").result_rows} & MADE


def test_it_prints_statements_that_can_be_run_and_runs_them_where_asked() -> None:
    for name in MADE:
        engine().command(f"DROP TABLE IF EXISTS {name}")
    otel_traces.create(engine(), "init")
    printed = said(engine_url("init"))
    assert tables() == set()
    assert (
        printed.count("CREATE MATERIALIZED VIEW IF NOT EXISTS `default`.`meshslo_live_view` TO `default`.`meshslo_live`") == 1
    )
    assert "INSERT INTO `default`.`meshslo_cells`" in printed
    for statement in printed.split(";\n"):
        if statement.strip().startswith("CREATE"):
            engine().command(statement)
    assert tables() == MADE
    # What is there already does no harm.
    assert "&cells=meshslo_live" in said(engine_url("init"), "--apply")


def test_tables_of_another_meaning_are_not_added_to_or_read() -> None:
    for name in MADE:
        engine().command(f"DROP TABLE IF EXISTS {name}")
    engine().command("CREATE TABLE meshslo_live (start Int64) ENGINE = MergeTree ORDER BY start COMMENT 'meshslo cells 1'")
    result = CliRunner().invoke(build(), ("clickhouse-init", engine_url("init"), "--apply"))
    assert isinstance(result.exception, StoreError)
    assert "DROP TABLE `default`.`meshslo_live_view`; DROP TABLE `default`.`meshslo_live`, then" in str(result.exception)
    with pytest.raises(StoreError, match=r"meshslo_live of another version of meshslo, .* read without cells="):
        open_store(engine_url("init") + "&cells=meshslo_live")
    engine().command("DROP TABLE meshslo_live")
