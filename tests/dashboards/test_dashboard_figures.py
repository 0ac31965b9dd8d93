"""What every page shows equals what the library (and so the command line) answers for the same calls, whatever is filtered."""

import json
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest
from typer.testing import CliRunner

from meshslo.analysis import from_calls, open_store
from meshslo.analysis.api import CallStore
from meshslo.analysis.config import parse_config
from meshslo.analysis.rates import token_rates
from meshslo.analysis.streams import stream_costs
from meshslo.dashboards.app.chain import along
from meshslo.dashboards.app.filters import Filters
from meshslo.dashboards.app.paths import path_table
from meshslo.dashboards.app.quality import coverage
from meshslo.dashboards.app.start import Start
from meshslo.dashboards.cli import build
from meshslo.dashboards.commands.compare import change_text, side_text
from meshslo.dashboards.commands.simulate import amount
from meshslo.dashboards.frames import quantile_table
from meshslo.dashboards.text import amount_text, quantile_text
from meshslo.telemetry.vocabulary import PHASES
from tests.support.calls import EPOCH
from tests.support.dashboard import filled
from tests.support.pages import show
from tests.support.scenes import chain_calls

QUANTILES = (0.5, 0.95, 0.99)
SLO = '[[slo]]\nname = "{}"\nhop = "{}"\nsli = "total"\nthreshold_s = {}\ntarget = 0.9\nwindow = "1d"\n'
CONFIG = SLO.format("kept", "gateway>retriever", 9.0) + SLO.format("broken", "ingress>gateway", 0.5)


@pytest.fixture(scope="module")
def calls() -> pl.DataFrame:
    tenants = pl.Series("tenant", [f"t{number // 4 % 3}" for number in range(1600)])
    return chain_calls(400, cap_s=6.0).with_columns(tenants)


@pytest.fixture(scope="module")
def start(calls: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Start:
    folder = tmp_path_factory.mktemp("figures")
    (folder / "meshslo.toml").write_text(CONFIG)
    return Start(str(filled(folder / "store", calls)), str(folder / "meshslo.toml"))


def chosen_at_random(seed: int) -> tuple[Filters, Any]:
    """Filters of which each key is chosen or not, and a window or none."""
    dice = random.Random(seed)
    values = {
        "hop": ["ingress>gateway", "gateway>retriever", "gateway>generator"],
        "model": ["small", "large"],
        "tenant": ["t0", "t1", "t2"],
    }
    keys = {
        key: tuple(sorted(dice.sample(there, dice.randint(1, len(there)))))
        for key, there in values.items()
        if dice.random() < 0.5
    }
    minutes = sorted(dice.sample(range(7), 2)) if dice.random() < 0.4 else None
    edges = [EPOCH + timedelta(minutes=minute) for minute in minutes] if minutes else (None, None)
    times = dict(zip(("since", "until"), (f"{edge:%Y-%m-%dT%H:%M}Z" for edge in edges), strict=True)) if minutes else {}
    return Filters(**times, **keys), edges


class Case:
    """A filter, and the store that holds only what it chooses."""

    def __init__(self, start: Start, calls: pl.DataFrame, seed: int) -> None:
        self.filters, (self.since, self.until) = chosen_at_random(seed)
        self.start = start
        self.window: dict[str, datetime | None] = {"since": self.since, "until": self.until}
        self.shown: CallStore = from_calls(calls.filter(self.filters.condition()))
        self.every: CallStore = from_calls(calls)
        self.traces = from_calls(
            calls.filter(
                pl.col("trace_id").is_in(calls.filter(self.filters.with_every_hop().condition())["trace_id"].implode())
            )
        )

    def page(self, path: str, **query: str | list[str]) -> AppTest:
        return show(self.start, path, **self.filters.to_query(), **query)

    def rows(self) -> pl.LazyFrame:
        return self.shown.scan(self.since, self.until)


@pytest.fixture(params=(1, 6), ids=lambda seed: f"filters {seed}")
def case(request: pytest.FixtureRequest, start: Start, calls: pl.DataFrame) -> Case:
    return Case(start, calls, request.param)


def tables(app: AppTest, column: str) -> list[dict[str, Any]]:
    """The rows of the one table that has this column."""
    (found,) = [table.value for table in app.dataframe if column in table.value.columns]
    return list(found.to_dict("records"))


@pytest.mark.slow
def test_chain(case: Case) -> None:
    app = case.page("chain")
    report = case.shown.report(by=["hop"], quantiles=QUANTILES, **case.window)
    assert tables(app, "p99") == quantile_table(along(report.frame), ["hop"]).to_dicts()
    chain = case.traces.chain(**case.window)
    assert tables(app, "own p50") == path_table(chain, chain.ways[0]).to_pandas().to_dict("records")


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "seed"), [*zip(PHASES, (1, 4, 6, 3), strict=True)])
def test_latency(start: Start, calls: pl.DataFrame, phase: Any, seed: int) -> None:
    case = Case(start, calls, seed)
    names = {
        "total": "whole call",
        "first_byte": "response headers",
        "first_token": "first token",
        "max_gap": "longest gap between chunks",
    }
    app = case.page("latency", by="model", phase=names[phase])
    report = case.shown.report(by=["hop", "model"], phase=phase, quantiles=QUANTILES, **case.window).frame
    if not report["timed"].sum():
        assert "Nobody saw" in app.info[0].value
        return
    assert tables(app, "p99") == quantile_table(report, ["hop", "model"]).to_dicts()


@pytest.mark.slow
def test_comparison(case: Case) -> None:
    app = case.page("latency", compare="model", compare_a="large", compare_b="small")
    models = case.rows().select("model").unique().collect()["model"].drop_nulls().to_list()
    if len(models) < 2:
        assert any("Nothing to compare" in each.value for each in app.caption)
        return
    found = case.shown.compare({"model": "large"}, {"model": "small"}, by=["hop"], phases=["total"], **case.window)
    shown = [(row["A"], row["B"], row["B - A"]) for row in tables(app, "verdict")]
    assert shown == [(side_text(each.a, each), side_text(each.b, each), change_text(each)) for each in found.differences]


@pytest.mark.slow
def test_streams(case: Case) -> None:
    app = case.page("streams", streams_by="Tenant")
    costs = stream_costs(case.rows(), ["hop", "tenant"])
    if costs.is_empty():
        assert "none of these calls is known to be a stream" in app.info[0].value.lower()
        return
    shown = [(row["hop"], row["tenant"], row["streams"], row["tokens in vain"]) for row in tables(app, "tokens in vain")]
    assert shown == [
        (row["hop"], row["tenant"], row["calls"], f"{row['tokens_in_vain']:,} of {row['tokens']:,}") for row in costs.to_dicts()
    ]
    rates = token_rates(case.rows(), ["hop", "tenant"])
    if not rates.is_empty():
        expected = dict(rates.filter(pl.col("q") == 0.5).select("hop", "streams").group_by("hop").sum().iter_rows())
        found = pl.DataFrame(tables(app, "50 % are faster")).group_by("hop").agg(pl.col("streams").sum())
        assert dict(found.iter_rows()) == expected


@pytest.mark.slow
def test_recommendations(case: Case) -> None:
    app = case.page("recommendations", replay="true")
    found = case.every.recommend(config=parse_config(CONFIG), **case.window)
    hops, models = case.filters.hop, case.filters.model
    items = [
        item
        for item in found.items
        if (not hops or item.target.hop in hops) and (not models or item.target.model in (None, *models))
    ]
    worth = [item for item in items if item.status in ("change", "explore")] or items
    # A column that says "all" in each line is left out.
    keys = [(row.get("model", "all"), row.get("route", "all")) for row in tables(app, "reason")]
    shown = {(row["hop"], *key, row["setting"], row["proposed"]) for key, row in zip(keys, tables(app, "reason"), strict=True)}
    assert shown == {
        (
            item.target.hop,
            item.target.model or "all",
            item.target.route or "all",
            item.setting,
            "-" if item.proposed is None else amount_text(item.proposed.value, item.proposed.unit),
        )
        for item in worth
    }
    simulated = case.every.simulate(found, config=parse_config(CONFIG), **case.window)
    success = [row for row in tables(app, "change") if (row["hop"], row["what"]) == ("(whole chain)", "success")]
    assert [row["proposed"] for row in success] == [amount("success_ratio", simulated.chain["success_ratio"].after)]


@pytest.mark.slow
def test_slo(case: Case, start: Start) -> None:
    app = case.page("slo")
    answer = open_store(start.store).slo(parse_config(CONFIG), at=case.until)
    hops = case.filters.hop
    expected = {each.objective.name: each.counts.calls for each in answer.standings if not hops or each.objective.hop in hops}
    if not expected:
        assert "No objective is about what is shown" in app.info[0].value
        return
    assert {row["objective"]: row["calls"] for row in tables(app, "promise")} == expected


@pytest.mark.slow
def test_data_quality(case: Case) -> None:
    app = case.page("data-quality")
    assert tables(app, "weight") == coverage(case.every.doctor(**case.window)).to_dicts()


def printed(start: Start, command: str, *options: str) -> Any:
    """The JSON that a command prints of the store."""
    found = CliRunner().invoke(build(), [command, "--store", start.store, *options, "--output", "json"], catch_exceptions=False)
    assert found.exit_code in (0, 1), found.stderr
    return json.loads(found.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [100, 103])
def test_the_command_line_prints_the_same_figures(start: Start, seed: int) -> None:
    """Of keys the commands know `--by` alone, so what they print is chosen from here: by hop and model, in a window."""
    filters = replace(chosen_at_random(seed)[0], tenant=())
    window = [word for name in ("since", "until") if (time := getattr(filters, name)) for word in (f"--{name}", time)]
    config = ("--config", str(start.config))

    asked = {key: getattr(filters, key) for key in ("hop", "model") if getattr(filters, key)}

    def is_shown(row: dict[str, Any]) -> bool:
        return all(row.get(key) in (None, *values) for key, values in asked.items())

    quantiles = [word for q in QUANTILES for word in ("--quantile", str(q))]
    report = printed(start, "report", "--by", "hop,model", *quantiles, *window, *config)["rows"]
    rows = tables(show(start, "latency", by="model", **filters.to_query()), "p99")
    assert [(row["hop"], row["model"], row["calls"], row["p50"], row["p95"], row["p99"]) for row in rows] == [
        (row["hop"], row["model"], row["calls"], *(quantile_text(each) for each in row["quantiles"]))
        for row in filter(is_shown, report)
    ]
    until = ("--at", filters.until) if filters.until else ()
    stand = {
        item["name"]: item for item in printed(start, "slo", *config, *until)["items"] if not filters.hop or is_shown(item)
    }
    app = show(start, "slo", **filters.to_query())
    shown = {row["objective"]: row for row in tables(app, "promise")} if stand else {}
    assert {name: (row["calls"], row["unknown"], row["seen by"]) for name, row in shown.items()} == {
        name: (item["calls"], item["unknown"], item["vantage"]) for name, item in stand.items()
    }
    advice = printed(start, "recommend", *window, *config)["items"]
    wanted = [item for item in advice if item["status"] in ("change", "explore") and is_shown(item["target"])]
    listed = tables(show(start, "recommendations", **filters.to_query()), "reason")
    assert not wanted or sorted(row["reason"] for row in listed) == sorted(item["reason"] for item in wanted)
