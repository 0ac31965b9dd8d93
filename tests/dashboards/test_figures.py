"""Figures hold the numbers of their frames, and nothing that is not known."""

import math
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis import from_calls
from meshslo.analysis.histogram import SCALE, lower_edge
from meshslo.analysis.report import report
from meshslo.analysis.survival import LifeTable
from meshslo.dashboards.figures import (
    Limit,
    call_graph,
    endings,
    heat_map,
    in_progress,
    over_time,
    quantile_dots,
    still_running,
    trade_off,
)
from meshslo.dashboards.figures.chain import places
from meshslo.dashboards.figures.theme import NOT_SET, duration_axis, share_axis
from meshslo.dashboards.frames import curve, heat_cells, hop_rows, in_order, labelled
from tests.support.calls import EPOCH, make_call, make_calls

ROW = {
    "start": EPOCH,
    "hop": "a>b",
    "q": 0.5,
    "calls": 9,
    "value_s": 1.0,
    "low_s": 0.5,
    "high_s": 2.0,
    "status": "ok",
    "needs_calls": None,
}
UNKNOWN = {"value_s": None, "low_s": None, "high_s": None, "status": "not_identifiable", "needs_calls": 7}


def rows(*changes: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([ROW | change for change in changes], schema_overrides={"needs_calls": pl.Int64, "high_s": pl.Float64})


def traces(figure: Any, **wanted: Any) -> list[Any]:
    return [trace for trace in figure.data if all(getattr(trace, name) == value for name, value in wanted.items())]


def test_a_dot_stands_at_its_value_with_its_interval() -> None:
    (dot,) = quantile_dots(rows({}), "hop", "duration").data
    assert (list(dot.x), list(dot.error_x.array), list(dot.error_x.arrayminus)) == ([1.0], [1.0], [0.5])
    assert list(dot.text) == ["1.0 s (500 ms to 2.0 s)"]


def test_a_picture_beside_another_has_few_ticks() -> None:
    spread = rows({"low_s": 0.05, "value_s": 0.3, "high_s": 1.2})
    assert list(quantile_dots(spread, "hop", "first token", most_ticks=3).layout.xaxis.ticktext) == ["100 ms", "300 ms", "1 s"]


def test_a_lower_bound_is_an_open_triangle_without_an_upper_end() -> None:
    (dot,) = quantile_dots(rows({"status": "at_least", "high_s": None}), "hop", "duration").data
    assert list(dot.marker.symbol) == ["triangle-right-open"]
    assert list(dot.error_x.array) == [0.0]
    assert list(dot.text) == [">= 1.0 s"]


def test_the_legend_shows_a_dot_where_there_is_one() -> None:
    (dots,) = quantile_dots(rows({"status": "at_least"}, {"hop": "c>d"}), "hop", "duration").data
    assert list(zip(dots.y, dots.marker.symbol, strict=True)) == [("c>d", "circle"), ("a>b", "triangle-right-open")]


def test_what_is_not_identifiable_has_no_dot_but_keeps_its_line() -> None:
    figure = quantile_dots(rows({}, {"hop": "c>d"} | UNKNOWN), "hop", "duration")
    assert list(figure.data[0].y) == ["a>b"]
    assert set(figure.layout.yaxis.categoryarray) == {"a>b", "c>d"}


def test_a_line_over_time_breaks_where_nothing_is_known() -> None:
    later = [{"start": EPOCH + timedelta(minutes=n)} for n in range(5)]
    figure = over_time(rows(later[0], later[1], later[2] | UNKNOWN, later[3], later[4]), "hop", "duration")
    (line,) = traces(figure, mode="lines+markers")
    assert list(line.y) == [1.0, 1.0, None, 1.0, 1.0]
    assert not line.connectgaps
    bands = traces(figure, fill="toself")
    assert [len(band.x) for band in bands] == [4, 4]


def test_a_group_without_the_key_is_named_so() -> None:
    assert list(quantile_dots(rows({"hop": None}), "hop", "duration").data[0].y) == [NOT_SET]


def test_timeouts_stand_where_they_are_on_a_logarithmic_axis() -> None:
    table = curve(LifeTable.from_durations([0.1 * n for n in range(1, 100)]), "g")
    for figure in (
        still_running(table, "duration", [Limit("now", 3.0), Limit("proposed", 8.0, proposed=True)]),
        trade_off(table, 0.01, [Limit("now", 3.0), Limit("proposed", 8.0, proposed=True)]),
    ):
        assert {shape.x0 for shape in figure.layout.shapes} >= {3.0, 8.0}
        names = {note.text: note.x for note in figure.layout.annotations}
        assert names["now 3.0 s"] == pytest.approx(math.log10(3.0))
        assert names["proposed 8.0 s"] == pytest.approx(math.log10(8.0))


def test_a_curve_is_the_life_table_s_own() -> None:
    life = LifeTable.from_durations([1.0, 2.0, 3.0, 4.0], [True, True, False, True])
    for row in curve(life, "g").iter_rows(named=True):
        found = life.exceedance(row["t_s"])
        assert (row["share"], row["low"], row["high"]) == (found.estimate, found.low, found.high)


def test_a_curve_of_no_calls_is_empty() -> None:
    assert curve(LifeTable.from_durations([]), "g").is_empty()
    assert not still_running(curve(LifeTable.from_durations([]), "g"), "duration").data


def test_bars_of_endings_add_up() -> None:
    counts = pl.DataFrame([{"group": "g", "calls": 8, "ok": 5, "error": 1, "timeout": 1, "cancelled": 1, "rejected": 0}])
    assert sum(bar.x[0] for bar in endings(counts, "group").data) == 1.0


def test_a_share_that_a_narrow_bar_has_no_room_for_is_hidden_not_cut() -> None:
    counts = pl.DataFrame([{"group": "g", "calls": 8, "ok": 5, "error": 1, "timeout": 1, "cancelled": 1, "rejected": 0}])
    figure = endings(counts, "group")
    assert figure.layout.uniformtext.mode == "hide"
    assert {(bar.textposition, bar.textangle) for bar in figure.data} == {("inside", 0)}


def test_calls_in_progress_fall_to_none_in_a_pause() -> None:
    at = [EPOCH + timedelta(seconds=second) for second in (0, 1, 2, 6, 7, 9)]
    (line,) = in_progress(pl.DataFrame({"start": at, "hop": "a>b", "in_progress": [4.0, 3.0, 2.0, 5.0, 1.0, 2.0]})).data
    seen = {(moment - EPOCH).total_seconds(): value for moment, value in zip(line.x, line.y, strict=True)}
    assert seen == {0: 4.0, 1: 3.0, 2: 2.0, 3: 0.0, 5: 0.0, 6: 5.0, 7: 1.0, 8: 0.0, 9: 2.0}


def test_a_group_keeps_its_colour_from_picture_to_picture() -> None:
    report = rows({"hop": "b>c"}, {"hop": "a>b"}, {"hop": "a>b", "start": EPOCH + timedelta(seconds=1)})
    ordered = in_order(labelled(report, ["hop"]), ["a>b", "b>c"])
    lasting = pl.concat([curve(LifeTable.from_durations([1.0, 2.0]), name) for name in ("a>b", "b>c")])
    lines = [
        {trace.name: trace.line.color for trace in figure.data if trace.name}
        for figure in (over_time(ordered, "group", "duration"), still_running(lasting, "duration"))
    ]
    assert lines[0] == lines[1]
    assert list(lines[0]) == ["a>b", "b>c"]


def test_a_heat_map_holds_every_timed_call() -> None:
    calls = make_calls([make_call(at_s=n, duration_s=0.01 * (n + 1)) for n in range(200)])
    rollup = from_calls(calls).rollup(phases=["total"])
    cells = heat_cells(rollup)
    assert cells["calls"].sum() == 200
    (heat,) = heat_map(cells, "duration").data
    assert sum(number**2 for line in heat.z for number in line if number is not None) == pytest.approx(200)


def test_a_heat_map_s_edges_enclose_its_calls() -> None:
    rollup = from_calls(make_calls([make_call(duration_s=1.5)])).rollup(phases=["total"])
    row = heat_cells(rollup).row(0, named=True)
    assert row["low_s"] <= float(lower_edge(int(rollup.cells["index"][0]), SCALE)) < 1.5 <= row["high_s"]


def test_the_graph_carries_the_hop_of_each_arrow() -> None:
    calls = make_calls([make_call(caller="ingress", callee="gateway"), make_call(), make_call(outcome="error")])
    figure = call_graph(hop_rows(report(from_calls(calls).rollup(bucket=None).pick_vantage().by(["hop"]))))
    arrows = {trace.customdata[0][0]: trace.marker.color for trace in figure.data if trace.customdata is not None}
    assert set(arrows) == {"ingress>gateway", "gateway>generator"}
    assert arrows["ingress>gateway"] != arrows["gateway>generator"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from("abcdef")), min_size=1, max_size=20))
def test_every_service_has_a_place_of_its_own(pairs: list[tuple[str, str]]) -> None:
    found = places(pairs)
    assert set(found) == {name for pair in pairs for name in pair}
    assert len(set(found.values())) == len(found)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda pair: pair[0] < pair[1]), min_size=1, max_size=20)
)
def test_without_a_circle_every_hop_goes_to_the_right(numbers: list[tuple[int, int]]) -> None:
    pairs = [(str(caller), str(callee)) for caller, callee in numbers]
    found = places(pairs)
    assert all(found[caller][0] < found[callee][0] for caller, callee in pairs)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1))
def test_an_axis_holds_its_values_and_names_some(values_s: list[float]) -> None:
    axis = duration_axis(values_s, "duration")
    low, high = axis["range"]
    assert all(low <= math.log10(value) <= high for value in values_s)
    assert len(axis["tickvals"]) == len(axis["ticktext"]) >= 1
    assert len(set(axis["ticktext"])) == len(axis["ticktext"])
    # Seven or more names would stand in each other's way, but for an axis over so many powers of ten.
    assert len(axis["tickvals"]) <= max(6, high - low + 1)


def test_shares_read_as_per_cent() -> None:
    assert share_axis("share", 0.01)["ticktext"] == ["100 %", "50 %", "20 %", "10 %", "5 %", "2 %", "1 %"]


def test_groups_are_named_by_what_sets_them_apart() -> None:
    frame = pl.DataFrame({"hop": ["a>b", "a>b"], "model": ["m", None]})
    assert labelled(frame, ["hop", "model"])["group"].to_list() == ["m", NOT_SET]
    assert labelled(frame.head(1), ["hop", "model"])["group"].to_list() == ["m"]


def test_nothing_is_drawn_across_buckets_without_calls() -> None:
    at = [EPOCH + timedelta(minutes=minute) for minute in (0, 1, 2, 9, 10)]
    known = {"q": 0.5, "value_s": 1.0, "low_s": 0.9, "high_s": 1.1, "status": "ok", "needs_calls": None, "calls": 40}
    frame = pl.DataFrame([{"start": moment, "hop": "a>b", **known} for moment in at])
    drawn = over_time(frame, "hop", "duration")
    (line,) = [trace for trace in drawn.data if trace.mode == "lines+markers"]
    assert list(line.y) == [1.0, 1.0, 1.0, None, 1.0, 1.0]
    bands = [trace for trace in drawn.data if trace.fill == "toself"]
    assert [len(band.x) for band in bands] == [6, 4]
