"""Dashboards from rollups in ClickHouse: every query runs on its engine, and the numbers are those of the calls."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from meshslo.analysis import histogram
from meshslo.analysis.clickhouse_cells import settled_cells, statements
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.recommend import parse_recommendations
from meshslo.analysis.rollup import roll_up
from meshslo.dashboards.grafana import generate, sources
from meshslo.dashboards.grafana.cells import Cells
from meshslo.dashboards.grafana.expressions import RANGE, Setting
from meshslo.telemetry.clickhouse import open_clickhouse
from meshslo.telemetry.normalize import decode_traces, to_calls
from tests.dashboards.grafana.advice import ADVICE
from tests.support import otel_traces
from tests.support.chdb import engine, engine_url
from tests.support.forests import START_NS, forest

FILES = generate(sources(["clickhouse"]), parse_recommendations(ADVICE)).files
PANELS = [
    (path, panel["title"], target["refId"], target["rawSql"])
    for path, text in FILES.items()
    if path.endswith(".json")
    for panel in json.loads(text)["panels"]
    for target in panel.get("targets", ())
]
BEGIN_MS = START_NS // 10**6
END_MS = BEGIN_MS + 1_200_000


@pytest.fixture(scope="module")
def calls() -> pl.DataFrame:
    """Calls of random traces, whose cells are in the engine's table `meshslo_cells`."""
    request = forest(seed=7, traces=400)
    client = engine()
    otel_traces.create(client, "drawn")
    otel_traces.insert(client, "drawn", [request])
    store = open_clickhouse(engine_url("drawn"))
    client.command("DROP TABLE IF EXISTS meshslo_cells")
    client.command("DROP TABLE IF EXISTS meshslo_fronts")
    for statement in statements(store)[:-1]:
        store.connection.run(statement)
    store.connection.run(f"INSERT INTO meshslo_cells {settled_cells(store, now_ns=str(START_NS + 1_500 * 10**9))}")
    rows = to_calls(decode_traces(request.SerializeToString()).spans.sort("start_ns", "kind", "span_id"))
    begin = pl.from_epoch(pl.lit(START_NS), time_unit="ns").dt.replace_time_zone("UTC")
    return rows.filter((pl.col("start") >= begin) & (pl.col("start") < begin + timedelta(seconds=1_200)))


def filled(sql: str, **chosen: str) -> str:
    """`sql` as Grafana and its plugin send it; a variable that is not given is All."""
    for key in ("hop", "route", "model", "tenant"):
        condition = f"k_{key} IN ('{chosen[key]}')" if key in chosen else "1=1"
        sql = re.sub(rf"\$__conditionalAll\(k_{key} IN \(\$\{{{key}:singlequote\}}\), \${key}\)", condition, sql)
    known = {"${__from}": str(BEGIN_MS), "${__to}": str(END_MS), "$__interval_s": "60", "${cells:raw}": "meshslo_cells"}
    for name, value in known.items():
        sql = sql.replace(name, value)
    assert "$" not in sql, sql
    return sql


def ask(sql: str, **chosen: str) -> list[dict[str, Any]]:
    answer = engine().query(filled(sql, **chosen))
    return [dict(zip(answer.column_names, row, strict=True)) for row in answer.result_rows]


@pytest.mark.parametrize(("path", "panel", "ref", "sql"), PANELS, ids=str)
def test_every_query_runs(calls: pl.DataFrame, path: str, panel: str, ref: str, sql: str) -> None:
    rows = ask(sql)
    few_enough = "HAVING sum(count) >=" in sql
    assert rows or few_enough or "line.1" in sql, (path, panel, ref)
    if not path.endswith("chain.json") or "Value #" not in sql:
        assert all("time" in row and "value" in row for row in rows)
    assert not ask(sql, hop="nobody>nothing")


def outermost(calls: pl.DataFrame, phase: Any = "total") -> pl.DataFrame:
    """Totals by hop and ending, each hop from its outermost vantage."""
    return roll_up(calls.lazy(), keys=("hop",), bucket=None, phases=(phase,)).pick_vantage().totals


def test_calls_and_endings_are_counted_from_the_outermost_vantage(calls: pl.DataFrame) -> None:
    totals = outermost(calls)
    counted = dict(totals.group_by("hop").agg(pl.col("weight").sum()).iter_rows())
    found = {row["hop"]: row["value"] * 1200.0 for row in ask(Cells().calls(window=RANGE))}
    assert found == pytest.approx(counted)
    bad = totals.group_by("hop").agg(pl.col("weight").filter(pl.col("outcome") != "ok").sum() / pl.col("weight").sum())
    shares = ask(Cells().share(("error", "timeout", "cancelled", "rejected"), window=RANGE))
    assert {row["hop"]: row["value"] for row in shares} == pytest.approx(dict(bad.iter_rows()))


@pytest.mark.parametrize("phase", ["total", "first_byte"])
def test_a_quantile_is_the_upper_edge_of_its_bucket(calls: pl.DataFrame, phase: Any) -> None:
    rollup = roll_up(calls.lazy(), keys=("hop",), bucket=None, phases=(phase,)).pick_vantage()
    expected = dict(exact_medians(rollup.cells))
    found = {row["hop"]: row["value"] for row in ask(Cells().quantile(0.5, phase, window=RANGE))}
    assert found
    assert found == pytest.approx({hop: value for hop, value in expected.items() if hop in found})
    assert expected.keys() == found.keys()


def exact_medians(cells: pl.DataFrame) -> Iterator[tuple[str, float]]:
    timed = cells.filter(pl.col("event") | pl.col("censored"), pl.col("index").is_not_null())
    for (hop,), group in timed.sort("index").group_by("hop", maintain_order=True):
        weights = group["weight"]
        if group["count"].sum() >= calls_needed(0.5):
            place = (weights.cum_sum() >= 0.5 * weights.sum()).arg_max()
            assert place is not None
            index = group["index"].cast(pl.Int64)[place]
            yield str(hop), float(histogram.upper_edge(index, histogram.SCALE))


def test_a_tail_that_was_cut_is_a_lower_bound(calls: pl.DataFrame) -> None:
    totals = outermost(calls).filter(pl.col("event") | pl.col("censored"))
    shares = totals.group_by("hop").agg(
        pl.col("weight").filter(pl.col("censored")).sum() / pl.col("weight").sum(), pl.col("count").sum().alias("calls")
    )
    sql = Cells().at_least(0.5, "total").replace("fromUnixTimestamp64Nano(intDiv(start,", "toInt64(intDiv(0 * start,")
    hidden = {hop for hop, share, number in shares.iter_rows() if share > 0.5 and number >= calls_needed(0.5)}
    assert {row["hop"] for row in ask(sql)} == hidden


def test_settings_are_lines_over_the_whole_picture(calls: pl.DataFrame) -> None:
    hop = calls["hop"][0]
    sql = Cells().settings([Setting(hop, "it's $1", "total timeout", 45.0), Setting("a>b", "t", "s", 1.0)])
    rows = ask(sql.replace("$1", "1"))
    assert {(row["hop"], row["value"]) for row in rows} == {(hop, 45.0)}
    assert len({row["time"] for row in rows}) == 2
