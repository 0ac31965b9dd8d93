"""The dashboard's pages, run in this process: what they show, what filters and the slider do, what they say of no data."""

import shutil
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from meshslo.analysis import from_calls, open_store
from meshslo.analysis.canary import parse_arms
from meshslo.analysis.config import parse_config
from meshslo.analysis.recommend import observe
from meshslo.dashboards.app import drawing
from meshslo.dashboards.app.filters import Filters
from meshslo.dashboards.app.shell import look, pages
from meshslo.dashboards.app.start import Start
from meshslo.dashboards.frames import quantile_table
from meshslo.telemetry import store as files
from meshslo.telemetry.store.metrics import MetricStore
from meshslo.telemetry.vocabulary import PHASES
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.canaries import versions
from tests.support.dashboard import filled
from tests.support.fleets import fleet_calls
from tests.support.guarded import CONFIG as GUARDED
from tests.support.guarded import guarded_calls
from tests.support.pages import figure, ran, show
from tests.support.queues import queued_calls
from tests.support.scenes import chain_calls
from tests.support.series import make_histogram, make_series

PATHS = [page.path for page in pages()]
CAP_S = 6.0


@pytest.fixture(scope="module")
def calls() -> pl.DataFrame:
    tenants = pl.Series("tenant", [f"t{number // 4 % 3}" for number in range(1600)])
    versions = pl.Series("version", [f"v{1 + number // 4 % 2}" for number in range(1600)])
    return chain_calls(400, cap_s=CAP_S).with_columns(tenants, versions)


@pytest.fixture(scope="module")
def store(calls: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return filled(tmp_path_factory.mktemp("dashboard") / "store", calls)


def config_beside(store: Path) -> Path:
    """A config with two objectives, one that the calls keep and one that they miss."""
    config = store.with_name("meshslo.toml")
    if not config.exists():
        promise = '[[slo]]\nname = "{}"\nhop = "{}"\nsli = "total"\nthreshold_s = {}\ntarget = 0.9\nwindow = "1d"\n'
        config.write_text(promise.format("kept", "gateway>retriever", 9.0) + promise.format("broken", "ingress>gateway", 0.5))
    return config


def opened(store: Path, path: str = "chain", **query: str | list[str]) -> AppTest:
    """The dashboard at a page and an address, with the config beside the store."""
    return show(Start(str(store), str(config_beside(store))), path, **query)


def test_the_menu_is_in_the_order_of_a_reader() -> None:
    assert [page.title for page in pages()] == [
        "Chain",
        "Latency",
        "Streams",
        "Recommendations",
        "Resilience",
        "Rollout",
        "SLO",
        "Security",
        "Data quality",
    ]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_shows_something(store: Path, path: str) -> None:
    app = opened(store, path)
    assert app.header[0].value == next(page.title for page in pages() if page.path == path)
    assert app.dataframe or app.get("plotly_chart")


@pytest.mark.parametrize("path", PATHS)
def test_an_empty_store_says_how_to_fill_it(tmp_path: Path, path: str) -> None:
    app = opened(filled(tmp_path / "store"), path)
    told = [*app.info, *app.error]
    assert any("meshslo collect" in box.value for box in told)


@pytest.mark.parametrize("path", PATHS)
def test_a_store_that_is_gone_is_named(tmp_path: Path, path: str) -> None:
    app = opened(filled(tmp_path / "store", make_calls([make_call()])), path)
    shutil.rmtree(tmp_path / "store")
    assert "does not exist" in ran(app.run()).info[0].value


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_one_call_is_enough_for_a_page(tmp_path: Path, path: str) -> None:
    opened(filled(tmp_path / "store", make_calls([make_call(first_token_s=0.2, max_gap_s=0.1, chunks=7)])), path)


def metered(folder: Path) -> Path:
    """A store that holds metrics and no single calls."""
    store = files.open_store(filled(folder / "store"))
    series = make_series(make_histogram([0.1, 1.0], [500.0, 20.0]))
    MetricStore(store.layout).append(series, since=EPOCH, until=EPOCH + timedelta(minutes=1))
    return store.path


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_metrics_without_calls_are_shown_as_far_as_they_go(tmp_path: Path, path: str) -> None:
    opened(metered(tmp_path), path)


@pytest.mark.parametrize("path", ["chain", "latency"])
def test_where_no_quantile_is_known_words_stand_for_an_empty_picture(tmp_path: Path, path: str) -> None:
    app = opened(filled(tmp_path / "store", make_calls([make_call()])), path)
    assert any(caption.value.startswith("Too few calls for a quantile") for caption in app.caption)


def test_one_call_is_no_quantile(tmp_path: Path) -> None:
    app = opened(filled(tmp_path / "store", make_calls([make_call()])))
    assert app.dataframe[0].value["p99"].tolist() == ["needs 298 more calls"]


def test_calls_that_were_cut_make_a_lower_bound(tmp_path: Path) -> None:
    rows = [make_call(at_s=n, duration_s=3.0, outcome="timeout") for n in range(200)]
    app = opened(filled(tmp_path / "store", make_calls([*rows, make_call(at_s=1, duration_s=0.5)])))
    assert app.dataframe[0].value["p95"].tolist() == [">= 3.0 s"]


def test_a_filter_changes_the_page_and_the_address(store: Path) -> None:
    app = opened(store)
    assert len(app.dataframe[0].value) == 3
    ran(app.multiselect(key="hop").set_value(["gateway>retriever"]).run())
    assert app.dataframe[0].value["hop"].tolist() == ["gateway>retriever"]
    assert app.query_params["hop"] in ("gateway>retriever", ["gateway>retriever"])
    ran(app.button[0].click().run())
    assert len(app.dataframe[0].value) == 3
    assert "hop" not in app.query_params


def test_an_address_is_a_view(store: Path, calls: pl.DataFrame) -> None:
    app = opened(store, hop="gateway>generator", model="large", since="2026-11-02T09:01:00Z", until="2026-11-02T09:04:00Z")
    since, until = datetime(2026, 11, 2, 9, 1, tzinfo=UTC), datetime(2026, 11, 2, 9, 4, tzinfo=UTC)
    kept = calls.filter((pl.col("hop") == "gateway>generator") & (pl.col("model") == "large"))
    report = from_calls(kept).report(by=["hop"], quantiles=(0.5, 0.95, 0.99), since=since, until=until)
    assert app.dataframe[0].value.to_dict("records") == quantile_table(report.frame, ["hop"]).to_dicts()


def test_what_a_page_is_asked_is_in_the_address_too(store: Path) -> None:
    app = opened(store, "latency", phase="first token", by="model", hop="gateway>generator")
    assert app.selectbox(key="by").value == "model"
    assert app.subheader[0].value == "Quantiles of the first token"
    assert app.query_params["hop"] in ("gateway>generator", ["gateway>generator"])


FILTERS = [
    {"hop": hops, "model": models, "tenant": tenants}
    for hops, models, tenants in product(
        ((), ("gateway>generator",), ("ingress>gateway", "gateway>retriever")), ((), ("small",)), ((), ("t0", "t2"))
    )
]


@pytest.mark.parametrize("chosen", FILTERS, ids=str)
def test_the_numbers_are_those_of_the_library_for_the_same_calls(
    store: Path, calls: pl.DataFrame, chosen: dict[str, tuple[str, ...]]
) -> None:
    filters = Filters(**chosen)
    shown = from_calls(calls.filter(filters.condition()))
    turn = FILTERS.index(chosen) % len(PHASES)
    for phase, by in zip((*PHASES[turn:], *PHASES[:turn]), (["hop"], ["hop", "model"], ["hop", "tenant"]), strict=False):
        report = look(Start(str(store)), filters).report(by, phase=phase)
        assert report.equals(shown.report(by=by, phase=phase, quantiles=(0.5, 0.95, 0.99)).frame)


def test_hops_stand_in_the_order_in_which_a_request_passes_them(tmp_path: Path) -> None:
    hops = [("b", "c"), ("ingress", "z"), ("loose", "end"), ("z", "b"), ("z", "a"), ("c", "b")]
    calls = make_calls([make_call(caller=caller, callee=callee) for caller, callee in hops])
    shown = opened(filled(tmp_path / "store", calls)).dataframe[0].value["hop"].tolist()
    assert shown == ["ingress>z", "z>a", "z>b", "b>c", "c>b", "loose>end"]


def test_the_picture_holds_the_numbers_of_the_table(store: Path) -> None:
    app = opened(store)
    frame = open_store(store).report(by=["hop"], quantiles=(0.99,)).frame.filter(pl.col("value_s").is_not_null())
    (dots,) = [trace for trace in figure(app, "dots")["data"] if trace["name"] == "p99"]
    assert dict(zip(dots["y"], dots["x"], strict=True)) == dict(frame.select("hop", "value_s").iter_rows())


@pytest.mark.slow
@pytest.mark.parametrize(("phase", "by"), [*zip(PHASES, ["hop", "model", "version", "tenant"], strict=True)])
def test_latency_shows_any_phase_by_any_key(store: Path, phase: str, by: str) -> None:
    app = opened(store, "latency")
    app.get("button_group")[0].set_value(phase)
    ran(app.selectbox(key="by").select(by).run())
    assert len(app.get("plotly_chart")) == 4


def test_timeouts_are_drawn_for_one_hop(store: Path) -> None:
    app = opened(store, "latency", hop="ingress>gateway")
    lines = [note["text"] for note in figure(app, "survival")["layout"].get("annotations", [])]
    assert any(line.startswith("now ") for line in lines)


def test_the_slider_answers_with_the_life_table(store: Path, calls: pl.DataFrame) -> None:
    app = opened(store, "recommendations", hop="gateway>retriever")
    table = observe(calls.lazy()).tables("total").careful("gateway>retriever", "/search", None)
    answers = []
    for budget in (0.05, 0.1):
        ran(app.select_slider[0].set_value(budget).run())
        numbers = {metric.label: metric.value for metric in app.metric}
        answers.append(numbers["timeout at this budget"])
        upper_s = table.quantile(1 - budget).upper_s
        assert upper_s is not None
        assert float(answers[-1].split()[0]) / 1000 == pytest.approx(upper_s, rel=0.1)
    assert answers[0] != answers[1]


@pytest.mark.parametrize("mesh", ["istio", "linkerd", "gateway-api"])
def test_policies_can_be_taken_away_once_a_mesh_is_chosen(store: Path, mesh: str) -> None:
    (chosen,) = opened(store, "recommendations", mesh=mesh).get("download_button")
    assert chosen.proto.label in (f"meshslo-{mesh}.yaml", f"meshslo-{mesh}.zip")


def test_policies_wait_for_a_mesh(store: Path) -> None:
    assert not opened(store, "recommendations").get("download_button")


def test_streams_count_what_was_made_in_vain(store: Path, calls: pl.DataFrame) -> None:
    app = opened(store, "streams", hop="gateway>generator")
    made = calls.filter(pl.col("hop") == "gateway>generator", pl.col("streaming"))
    lost = made.filter(pl.col("outcome") != "ok")["output_tokens"].sum()
    numbers = {metric.label: metric.delta for metric in app.metric}
    assert numbers["tokens in vain"] == f"{lost:,} of {made['output_tokens'].sum():,}"


def test_objectives_stand_as_the_library_says(store: Path) -> None:
    answer = open_store(store).slo(parse_config(config_beside(store).read_text()))
    assert {standing.objective.name: standing.status for standing in answer.standings} == {"kept": "met", "broken": "missed"}
    shown = opened(store, "slo").dataframe[0].value
    assert dict(zip(shown["objective"], shown["status"], strict=True)) == {"kept": "met", "broken": "missed"}
    assert shown["objective"].tolist() == ["broken", "kept"]


def test_who_fares_worst_is_listed_first(store: Path) -> None:
    answer = open_store(store).slo(parse_config(config_beside(store).read_text()), each=("model",))
    left = {(each.objective.name, each.objective.model): each.budget_left for each in answer.standings}
    worst = opened(store, "slo", slo_each="Model").dataframe[2].value
    shown = [left[pair] for pair in zip(worst["objective"], worst["model"], strict=True)]
    assert len(shown) == len(left) == 4
    assert shown == sorted(shown, key=lambda each: each.estimate if each else 9)


def test_hops_have_the_colour_of_their_objectives(store: Path) -> None:
    data = figure(opened(store), "call_graph")["data"]
    arrows = {trace["customdata"][0][0]: trace for trace in data if trace.get("customdata")}
    colour = {trace["name"]: trace["marker"]["color"] for trace in data if trace.get("name")}
    said = {hop: (trace["marker"]["color"], trace["hovertemplate"]) for hop, trace in arrows.items()}
    for hop, status, words in (
        ("ingress>gateway", "objectives missed", "broken: missed"),
        ("gateway>retriever", "objectives met", "kept: met"),
        ("gateway>generator", "none, or no calls of it", "no objective"),
    ):
        assert said[hop][0] == colour[status]
        assert words in said[hop][1]


def test_without_objectives_the_page_shows_how_to_write_one(tmp_path: Path) -> None:
    (tmp_path / "meshslo.toml").touch()
    app = opened(filled(tmp_path / "store", make_calls([make_call()])), "slo")
    assert "No objectives yet" in app.info[0].value
    assert parse_config(app.code[0].value).slo


def test_security_shows_what_the_library_says(tmp_path: Path) -> None:
    calls = guarded_calls()
    store, config = filled(tmp_path / "store", calls), tmp_path / "meshslo.toml"
    config.write_text(GUARDED)
    answer = from_calls(calls).security(config=parse_config(GUARDED))
    app = opened(store, "security")
    told = [box.value for box in (*app.error, *app.warning, *app.info)]
    assert len(told) == len(answer.findings) >= 6
    assert all(any(f"**{one.code}** {one.subject}: {one.message}" in text for text in told) for one in answer.findings)
    edges, hosts = (table.value for table in app.dataframe)
    assert edges["calls"].sum() == sum(edge.calls for edge in answer.edges)
    assert hosts[["host", "approved"]].to_numpy().tolist() == [["api.openai.com", "yes"], ["models.example.org", "NO"]]
    assert [metric.value for metric in app.metric if metric.label == "plain"] == ["640"]
    only = opened(store, "security", hop="laptop>generator").dataframe[0].value
    assert only["caller proved to be"].tolist() == ["cluster.local/ns/dev/sa/laptop"]


def test_security_says_how_connections_can_be_known(store: Path) -> None:
    app = opened(store, "security")
    assert any("access logs" in box.value for box in app.info)
    assert set(app.dataframe[0].value["caller proved to be"]) == {"-"}


def test_resilience_shows_what_the_library_knows_of_loads_pods_and_zones(tmp_path: Path) -> None:
    asked = queued_calls(20, 0.6).with_columns(zone=pl.lit("a"))
    zones, pods = pl.Series("zone", ["a", "b"] * 1000), pl.Series("pod", [f"generator-{n % 4}" for n in range(2000)])
    calls = pl.concat([asked, asked.with_columns(pl.lit("server").alias("vantage"), zones, pods)])
    app = opened(filled(tmp_path / "store", calls), "resilience")
    (load,) = from_calls(calls).resilience().loads
    assert load.bears is not None
    assert f"generator bears: {load.bears.at:.3g}" in "".join(caption.value for caption in app.caption)
    numbers = {metric.label: metric.value for metric in app.metric}
    assert (numbers["past their knee"], numbers["broken pods"], numbers["between zones"]) == ("1 of 1", "0 of 4", "50 %")
    assert figure(app, "zones")["data"][0]["x"] == ["a", "b"]
    assert len(figure(app, "load_curve")["data"][0]["x"]) > 6


def test_what_would_be_ejected_is_drawn_and_pods_without_names_are_asked_for(store: Path, tmp_path: Path) -> None:
    app = opened(filled(tmp_path / "store", fleet_calls(failed={2: 1.0}, failing_from_s=400.0)), "resilience")
    (bars,) = figure(app, "ejections")["data"]
    assert set(bars["y"]) == {"generator-2", None}
    assert "fails more than the others" in app.dataframe[1].value["broken"].tolist()
    assert "`k8s.pod.name`" in opened(store, "resilience").info[0].value


@pytest.mark.parametrize(("slower", "said"), [(1.0, "Hold"), (1.5, "Roll back")])
def test_the_rollout_stands_as_the_library_says(tmp_path: Path, slower: float, said: str) -> None:
    calls = versions(1200, slower=slower)
    app = opened(filled(tmp_path / "store", calls), "rollout")
    found = from_calls(calls).canary(parse_arms("v1", "v2"))
    told = [*app.info, *app.success, *app.error][0].value
    assert told.startswith(f"**{said}** v2.")
    numbers = {metric.label: metric.value for metric in app.metric}
    assert (numbers["next weight"], numbers["candidate's calls"]) == (f"{found.next_weight} %", f"{found.candidate_calls:,}")
    lines = figure(app, "evidence")["data"]
    assert len(lines) == 2 * len(found.measures)
    assert [line["y"][-1] for line in lines[:5]] == [course.looks[-1].worse for course in found.courses]


def test_versions_are_found_where_the_callers_side_does_not_say_them(tmp_path: Path) -> None:
    calls = versions(1200)
    outside = calls.with_columns(vantage=pl.lit("proxy_out"), version=pl.lit(None, dtype=calls["version"].dtype))
    app = opened(filled(tmp_path / "store", pl.concat([calls, outside])), "rollout")
    assert (app.selectbox(key="baseline").value, app.selectbox(key="candidate").value) == ("v1", "v2")
    assert sum(sum(trace["y"]) for trace in figure(app, "shares")["data"]) > 0


def test_one_version_is_no_rollout(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", make_calls([make_call(version="v1")]))
    assert opened(store, "rollout").info[0].value.startswith("All of these calls have version v1")
    unnamed = filled(tmp_path / "unnamed", make_calls([make_call()]))
    assert "`service.version`" in opened(unnamed, "rollout").info[0].value


def test_many_calls_are_looked_at_when_asked(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "FEW_CALLS", 100)
    for path in ("resilience", "rollout"):
        app = opened(store, path)
        assert len(app.get("plotly_chart")) == 1
        ran(app.toggle(key="every_call").set_value(True).run())
        assert len(app.get("plotly_chart")) > 1


def test_new_calls_are_seen_at_the_next_look(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", make_calls([make_call()]))
    app = opened(store)
    filled(store, make_calls([make_call(at_s=5)]))
    assert ran(app.run()).dataframe[0].value["calls"].tolist() == [2]


def test_a_changed_config_is_seen_at_the_next_look(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", chain_calls(60))
    app = opened(store, "slo")
    assert len(app.dataframe[0].value) == 2
    config_beside(store).write_text("")
    assert "No objectives yet" in ran(app.run()).info[0].value
    config_beside(store).write_text("objectivs = 1")
    assert 'did you mean "objectives"' in ran(app.run()).info[0].value


def test_live_mode_shows_the_same(store: Path) -> None:
    app = opened(store, live="1")
    assert app.toggle(key="live").value
    assert len(app.dataframe[0].value) == 3


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"hop": "nobody>nothing"}, "widen or reset the filters"),
        ({"since": "yesterday"}, "is no time"),
        ({"since": "2030-01-01"}, "no calls started in"),
    ],
)
@pytest.mark.parametrize("path", ["latency", "recommendations"])
def test_what_cannot_be_shown_is_said(store: Path, path: str, query: dict[str, str], words: str) -> None:
    assert words in opened(store, path, **query).info[0].value


def test_nothing_is_recommended_from_metrics_alone(tmp_path: Path) -> None:
    assert "settings follow from calls" in opened(metered(tmp_path), "recommendations").info[0].value
