"""Objectives of hops that only pulled metrics show: what a bucket does not tell is unknown."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from meshslo.analysis.api import CallStore
from meshslo.analysis.config import parse_config
from meshslo.analysis.slo.standing import Standing
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.series import make_histogram, make_row, make_series

FAST = '[[slo]]\nname = "fast"\nhop = "gateway>generator"\nsli = "total"\nthreshold_s = {}\ntarget = 0.9\n'
WORKS = '[[slo]]\nname = "works"\nhop = "gateway>generator"\nsli = "success"\ntarget = 0.9\n'


def standing(rows: list[dict[str, Any]], text: str, calls: list[dict[str, Any]] | None = None) -> Standing:
    frame = make_calls(calls) if calls else make_calls([make_call()]).clear()

    def scan(since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        return frame.lazy()

    store = CallStore(scan, "metrics", series=lambda since, until: make_series(rows).lazy())
    return store.slo(parse_config(text), at=EPOCH + timedelta(hours=1)).standings[-1]


def test_a_threshold_on_an_edge_is_told_exactly() -> None:
    found = standing(make_histogram([1.0, 2.5, 10.0], [80, 15, 5]), FAST.format(2.5))
    assert (found.vantage, found.counts.kept, found.counts.broken, found.counts.unknown) == ("metric", 95, 5, 0)
    assert found.status == "met"


def test_a_threshold_within_a_bucket_leaves_its_calls_unknown() -> None:
    found = standing(make_histogram([1.0, 2.5, 10.0], [80, 15, 5]), FAST.format(2.0))
    assert (found.counts.kept, found.counts.broken, found.counts.unknown) == (80, 5, 15)
    assert found.status == "undecided"
    assert found.attained is not None
    assert found.attained.estimate == pytest.approx(0.9, abs=0.001)
    assert found.attained.low < 0.8 < 0.95 < found.attained.high


def test_calls_above_the_top_edge_broke_what_lies_below_it() -> None:
    assert standing(make_histogram([1.0, 2.5], [80, 15, 5]), FAST.format(2.5)).counts.broken == 5
    beyond = standing(make_histogram([1.0, 2.5], [80, 15, 5]), FAST.format(5.0)).counts
    assert (beyond.kept, beyond.broken, beyond.unknown) == (95, 0, 5)


def test_a_cut_call_is_no_good_one() -> None:
    rows = make_histogram([1.0, 2.5, 10.0], [80, 10, 0])
    rows += make_histogram([1.0, 2.5, 10.0], [5, 0, 5], outcome="timeout", instrument="duration")
    found = standing(rows, FAST.format(2.5)).counts
    assert (found.kept, found.broken, found.unknown) == (90, 5, 5)


def test_success_comes_from_the_counters() -> None:
    numbers = {"ok": 95, "error": 2, "timeout": 2, "rejected": 1, "cancelled": 7}
    rows = [
        make_row(outcome=outcome, phase=None, measure="calls", instrument="requests", value=float(number))
        for outcome, number in numbers.items()
    ]
    found = standing(rows, WORKS)
    assert (found.counts.kept, found.counts.broken, found.counts.others) == (95, 5, 7)


def test_calls_are_asked_first_and_goodput_only_of_calls() -> None:
    rows = make_histogram([1.0, 2.5, 10.0], [80, 15, 5])
    assert standing(rows, FAST.format(2.5), [make_call(duration_s=9.0)]).counts.broken == 1
    good = '[[slo]]\nname = "good"\nhop = "gateway>generator"\nsli = "goodput"\nall_of = ["fast"]\ntarget = 0.8\n'
    assert standing(rows, FAST.format(2.5) + good).status == "no_data"
    assert standing(rows, FAST.format(2.5) + 'tenant = "t"\n').status == "no_data"
