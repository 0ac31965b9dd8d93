"""`.figure()`, `.to_pandas()` and a notebook's view of every kind of answer."""

import importlib.util
from dataclasses import replace
from typing import Any

import pytest

from meshslo.analysis import answer as answers
from meshslo.analysis.recommend import Recommendations
from meshslo.dashboards import presenters
from meshslo.dashboards.presenters import Presenter, shown
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadConfigError
from tests.support.shown import ANSWERS, backtest, chain, comparison, diagnosis, objectives, recommendations, report, simulation

DRAWN = ("report", "recommend", "backtest", "slo", "chain", "compare", "simulate", "security", "resilience")


def points(figure: Any, name: str) -> list[tuple[float, str]]:
    return [(x, y) for trace in figure.data if trace.name == name for x, y in zip(trace.x, trace.y, strict=True)]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_notebook_shows_a_readable_table(name: str) -> None:
    page = ANSWERS[name]()._repr_html_()
    assert page.count("<p>") + page.count("<table>") >= 2
    assert "value_s" not in page


@pytest.mark.parametrize("name", ANSWERS)
def test_pandas_holds_the_rows_of_the_frame(name: str) -> None:
    answer = ANSWERS[name]()
    assert list(answer.to_pandas().columns) == answer.frame.columns
    assert len(answer.to_pandas()) == answer.frame.height


def test_every_kind_of_answer_has_a_sample() -> None:
    found = {presenter.of: presenter for presenter in members(presenters, "PRESENTER") if isinstance(presenter, Presenter)}
    assert set(found) == {type(make()) for make in ANSWERS.values()}, "add it to tests/support/shown.py"
    assert {name for name, make in ANSWERS.items() if found[type(make())].figure} == set(DRAWN)


def test_a_report_s_picture_has_its_quantiles() -> None:
    figure = report().figure()
    assert points(figure, "p95") == [(1.25, "small"), (0.0421, "__other__")]
    assert points(figure, "p99") == [(3.0, "small")]


def test_the_picture_of_recommendations_has_timeouts_now_and_proposed() -> None:
    figure = recommendations().figure()
    first = "gateway>generator /v1/chat, model small total timeout (1)"
    second = "gateway>generator /v1/chat, model small idle gap timeout (2)"
    assert points(figure, "now") == [(3.0, first)]
    assert points(figure, "proposed") == [(4.6, first), (4.6, second)]
    assert [list(trace.text) for trace in figure.data if "observed" in trace.name] == [["4.2 s (4.0 s to 4.6 s)"] * 2]


def test_seconds_that_are_no_timeout_are_not_among_them() -> None:
    (item, *_) = recommendations().items
    with pytest.raises(BadConfigError, match="no picture"):
        Recommendations(items=(replace(item, setting="base_ejection_time"),)).figure()


def test_the_picture_of_a_backtest_tells_kept_from_broken() -> None:
    figure = backtest().figure()
    target = "gateway>generator /v1/chat small"
    assert points(figure, "kept") == [(0.004, f"{target} total timeout")]
    assert points(figure, "broken") == [(0.05, f"{target} idle gap timeout")]
    assert [x for x, _ in points(figure, "promised at most")] == [0.01, 0.01]


def test_the_picture_of_objectives_has_those_with_calls() -> None:
    assert points(objectives().figure(), "met") == [(0.55, "fast")]


def test_the_picture_of_a_comparison_is_relative_and_leaves_out_what_is_hidden() -> None:
    figure = comparison().figure()
    assert points(figure, "slower or worse") == [(0.5, "gateway>generator total p95")]
    assert points(figure, "inside noise") == [(pytest.approx(-0.01 / 0.98), "gateway>generator success")]


def test_the_picture_of_a_chain_is_of_the_slowest_traces_that_tell() -> None:
    (bars,) = chain().figure().data
    assert dict(zip(bars.y, bars.x, strict=True)) == {
        "ingress>gateway p50 and slower": 0.1,
        "gateway>generator p50 and slower": 0.9,
    }


def test_what_has_no_picture_says_so() -> None:
    with pytest.raises(BadConfigError, match=r"no picture of this Diagnosis: take its \.frame"):
        diagnosis().figure()


@pytest.mark.parametrize(("package", "verb"), [("plotly", "figure"), ("pandas", "to_pandas")])
def test_what_is_not_installed_is_named(package: str, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(answers, "find_spec", lambda name: None if name == package else real(name))
    with pytest.raises(BadConfigError, match=rf"needs {package}: pip install 'meshslo\[dashboards\]'"):
        getattr(report(), verb)()


def test_an_answer_that_nobody_shows_is_named() -> None:
    with pytest.raises(BadConfigError, match=r"nothing shows a dict: register a PRESENTER"):
        shown({})


def test_the_picture_of_a_simulation_has_both_sides_and_bounds_where_no_value_is_known() -> None:
    figure = simulation().figure()
    assert {name: x for x, name in points(figure, "proposed")}["gateway>generator: success"] == 0.95
    assert points(figure, "as seen")[0] == (0.12, "chain: streams cut by timers")
    (proposed,) = [trace for trace in figure.data if trace.name == "proposed"]
    assert proposed.text[0] == "0 % to 13 %"
    assert (proposed.error_x.array[0], proposed.error_x.arrayminus[0]) == (0.065, 0.065)
