"""Two versions side by side: what moved, what is noise, what was cut; and how often noise is taken for a change."""

import json
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.comparison import Compared, parse_conditions
from meshslo.analysis.comparison.result import WHOLE, Difference
from meshslo.telemetry.errors import BadInputError
from tests.support.calls import make_call, make_calls
from tests.support.scenes import plain_calls
from tests.support.token_streams import streams
from tests.support.traces import request

V1, V2 = {"version": "v1"}, {"version": "v2"}


def versions(a: np.ndarray, b: np.ndarray, **columns: Any) -> pl.DataFrame:
    """Calls that take `a` seconds in version v1 and `b` seconds in v2, mixed in time."""
    return pl.concat([plain_calls(a, version="v1", **columns), plain_calls(b, version="v2", **columns)])


def compared(calls: pl.DataFrame, **asked: Any) -> Compared:
    return from_calls(calls).compare(V1, V2, **asked)


def one(found: Compared, quantity: str = "duration", **wanted: Any) -> Difference:
    (only,) = [
        each
        for each in found.differences
        if each.quantity == quantity and all(getattr(each, name) == value for name, value in wanted.items())
    ]
    return only


def draw(seed: int, n: int = 2000, scale: float = 1.0) -> np.ndarray:
    return scale * np.random.default_rng(seed).lognormal(0.0, 0.8, n)


def test_a_slower_version_is_slower_at_each_quantile() -> None:
    found = compared(versions(draw(1), draw(2, scale=1.5)))
    for q, truth in ((0.5, 0.5), (0.95, 0.5 * np.exp(0.8 * 1.645))):
        each = one(found, q=q, phase="total")
        assert each.verdict == "slower"
        assert each.low <= truth <= each.high
        assert (each.a.calls, each.b.calls) == (2000, 2000)


def test_what_calls_are_too_few_for_makes_nothing_else_less_sure() -> None:
    calls = versions(draw(1, 300), draw(2, 300, scale=1.3))
    few, more = (compared(calls, quantiles=quantiles, phases=["total"]) for quantiles in ([0.5], [0.5, 0.999, 0.9999]))
    assert one(more, q=0.999).verdict == "not_identifiable"
    assert few.tested == more.tested == len(few.differences) < len(more.differences)
    assert 0.0 < one(few, q=0.5).p_adjusted == one(more, q=0.5).p_adjusted < 0.05


def test_the_same_version_is_inside_the_noise() -> None:
    found = compared(versions(draw(1), draw(2)))
    assert {each.verdict for each in found.differences} == {"inside_noise"}
    assert not found.moved
    assert found.hop is None


def test_what_surely_moved_most_comes_first_and_noise_last() -> None:
    """Of three hops one did not change, one is a third slower, one twice as slow, and its calls fail."""
    scales = {"a>same": 1.0, "a>third": 1.3, "a>twice": 2.0}
    of_hops = [versions(draw(1), draw(2, scale=scale), hop=hop) for hop, scale in scales.items()]
    failed = plain_calls(draw(3, n=200), version="v2", hop="a>twice", outcome="error")
    told = compared(pl.concat([*of_hops, failed]), by=("hop",), quantiles=(0.5,), phases=("total",)).differences
    said = [(each.target["hop"], each.quantity, each.verdict) for each in told if "entry" not in each.target]
    assert said[:3] == [
        ("a>twice", "success", "worse"),
        ("a>twice", "duration", "slower"),
        ("a>third", "duration", "slower"),
    ]
    assert {verdict for *_, verdict in said[3:]} == {"inside_noise"}


def test_too_few_calls_are_no_answer() -> None:
    each = one(compared(versions(draw(1, n=100), draw(2, n=2000))), q=0.99, phase="total")
    assert (each.verdict, each.estimate, each.a.value) == ("not_identifiable", None, None)


def test_cut_calls_count_as_longer_on_their_side() -> None:
    """v2 is slower, but a timer cuts it at 3 s: the naive p95 says it is faster."""
    slow = draw(2, scale=1.6)
    calls = pl.concat(
        [
            plain_calls(draw(1), version="v1"),
            plain_calls(slow[slow < 3], version="v2"),
            plain_calls(np.full((slow >= 3).sum(), 3.0), version="v2", outcome="timeout"),
        ]
    )
    found = compared(calls)
    each = one(found, q=0.95, phase="total")
    assert each.b.value is None
    assert each.estimate is None
    assert each.high is None  # nobody knows how much slower
    assert one(found, q=0.5, phase="total").verdict == "slower"


def test_success_is_compared_as_a_share() -> None:
    calls = pl.concat(
        [
            plain_calls(draw(1, 990), version="v1"),
            plain_calls(draw(2, 10), version="v1", outcome="error"),
            plain_calls(draw(3, 900), version="v2"),
            plain_calls(draw(4, 100), version="v2", outcome="error"),
        ]
    )
    each = one(compared(calls), "success")
    assert (each.a.value, each.b.value, each.verdict) == (0.99, 0.9, "worse")
    assert each.low < -0.09 < each.high


def test_the_hop_that_moved_is_the_one_whose_own_time_did() -> None:
    rng = np.random.default_rng(5)
    rows = [
        row | {"version": version} if row["callee"] == "gateway" else row
        for n in range(1200)
        for version in [("v1", "v2")[n % 2]]
        for row in request(n, float(rng.lognormal(-2, 0.4)), float(rng.lognormal(0, 0.4)) + (0.6 if version == "v2" else 0.0))
    ]
    found = compared(make_calls(rows), by=["hop"])
    assert found.hop is not None
    assert found.hop.target["hop"] == "gateway>generator"
    assert one(found, "own_time", q=0.5, target={"entry": "ingress>gateway /ask", "hop": WHOLE}).verdict == "slower"
    assert (
        one(found, "own_time", q=0.5, target={"entry": "ingress>gateway /ask", "hop": "gateway>retriever"}).verdict
        == "inside_noise"
    )
    # Only the entry's calls have a version: theirs alone are compared as calls.
    assert {each.target["hop"] for each in found.differences if each.quantity == "duration"} == {"ingress>gateway"}


def test_windows_are_compared_as_versions_are() -> None:
    calls = versions(draw(1), draw(2, scale=1.5))
    store = from_calls(
        calls.with_columns(pl.when(version="v2").then(pl.col("start") + pl.duration(days=1)).otherwise("start").alias("start"))
    )
    noon = calls["start"].min().replace(hour=0) + timedelta(days=1)
    found = store.compare(baseline=(None, noon), since=noon)
    assert one(found, q=0.5, phase="total").verdict == "slower"
    assert "to" in found.a


def test_json_and_frame_say_the_same() -> None:
    found = compared(versions(draw(1), draw(2, scale=1.5)))
    read = json.loads(found.to_json())
    assert (read["schema"], read["correction"], read["a"]) == ("meshslo.compare/1", "holm", "version=v1")
    assert [each["p_adjusted"] for each in read["differences"]] == found.frame["p_adjusted"].to_list()


@pytest.mark.parametrize(
    ("a", "b", "sentence"),
    [
        ({"version": "v1"}, {"version": "v3"}, "no calls of version=v3"),
        ({"version": "v1"}, {"route": "/v1/chat"}, "calls are of version=v1 and of route=/v1/chat"),
        ({"outcome": "ok"}, {"version": "v2"}, "not chosen by outcome"),
        (None, None, "calls are of all calls and of all calls"),
    ],
)
def test_sides_that_are_none_are_named(a: Any, b: Any, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        from_calls(versions(draw(1, 50), draw(2, 50))).compare(a, b)


def test_windows_that_overlap_share_calls() -> None:
    calls = versions(draw(1, 200), draw(2, 200))
    first = calls["start"].min()
    store = from_calls(calls)
    with pytest.raises(BadInputError, match="100 calls are of"):
        store.compare(baseline=(None, first + timedelta(seconds=100)), since=first + timedelta(seconds=50))
    assert store.compare(
        V1, V2, baseline=(None, first + timedelta(seconds=150)), since=first + timedelta(seconds=20)
    ).differences


def test_keys_that_tell_the_sides_apart_make_no_groups() -> None:
    with pytest.raises(BadInputError, match="by version the sides have no group in common"):
        compared(versions(draw(1, 50), draw(2, 50)), by=["hop", "version"])


def test_what_one_side_has_alone_is_said() -> None:
    only = plain_calls(draw(3, 50), version="v2", callee="cache", hop="gateway>cache")
    found = compared(pl.concat([versions(draw(1, 200), draw(2, 200)), only]), by=["hop"])
    assert "only version=v2 has calls of gateway>cache" in found.left_out


def test_traces_with_calls_of_both_sides_are_left_out_of_chains() -> None:
    rows = [row for n in range(120) for row in request(n, 0.2, 1.0)]
    for row in rows:
        row["version"] = ("v1", "v2")[row["callee"] == "generator"] if row["trace_id"][-1] % 2 else "v1"
    found = compared(make_calls(rows), by=["hop"])
    assert any("60 traces have calls of both sides" in note for note in found.left_out)


def test_conditions_are_read_from_text() -> None:
    assert parse_conditions("model=m,zone=a") == {"model": "m", "zone": "a"}
    with pytest.raises(BadInputError, match="write KEY=VALUE"):
        parse_conditions("version")


def test_longer_answers_are_no_slower_model() -> None:
    """v2 is asked for twice as long answers: its totals are longer, its tokens come as fast."""
    calls = pl.concat(
        [streams(1).with_columns(version=pl.lit("v1")), streams(2, tokens=400.0).with_columns(version=pl.lit("v2"))]
    )
    found = compared(calls)
    assert one(found, q=0.5, phase="total").verdict == "slower"
    each = one(found, "at_one_mix")
    assert each.verdict == "inside_noise"
    assert each.target["model"] == "m"
    slower = pl.concat(
        [streams(1).with_columns(version=pl.lit("v1")), streams(2, tokens=100.0, pace=0.024).with_columns(version=pl.lit("v2"))]
    )
    assert one(compared(slower), q=0.5, phase="total").verdict == "faster"
    assert one(compared(slower), "at_one_mix").verdict == "slower"


def bursty(rng: np.random.Generator, n: int, minutes: int) -> tuple[np.ndarray, np.ndarray]:
    """Durations and starts of calls whose minutes are slow or fast as a whole."""
    minute = rng.integers(0, minutes, n)
    pace = np.exp(rng.normal(0.0, 0.35, minutes))[minute]
    return pace * rng.lognormal(0.0, 0.6, n), 60.0 * minute + rng.uniform(0, 60, n)


@cache
def like_one(n: int) -> pl.DataFrame:
    """`n` calls that nothing tells apart."""
    return make_calls([make_call()] * n).drop("version", "duration_s", "outcome", "trace_id", "hop")


def sample(rng: np.random.Generator, kind: str, n: int, **columns: str) -> pl.DataFrame:
    if kind == "bursty":
        seconds, at_s = bursty(rng, n, 60)
    else:
        seconds, at_s = rng.lognormal(0.0, 0.8, n), rng.uniform(0, 3600, n)
    cap_s = rng.exponential(8.0, n) if kind == "cut" else np.full(n, np.inf)
    ends = np.where(rng.random(n) < 0.02, "error", np.where(seconds <= cap_s, "ok", "timeout"))
    return like_one(n).with_columns(
        duration_s=pl.Series(np.minimum(seconds, cap_s)),
        outcome=pl.Series(ends),
        start=pl.col("start") + pl.Series((at_s * 1e9).astype(np.int64)).cast(pl.Duration("ns")),
        trace_id=None,
        **{name: pl.lit(value) for name, value in columns.items()},
    )


@pytest.mark.slow
@pytest.mark.no_cover
def test_noise_is_seldom_taken_for_a_change() -> None:
    """A against A on 40 x 3 hops: any false verdict among three of them in at most 5 %, an interval without 0 in about 5 %.

    One hop's calls are independent, one's are cut, one's minutes are slow or fast as a whole.
    """
    rng, runs, wrong, outside = np.random.default_rng(0), 40, 0, []
    for _ in range(runs):
        sides = product(("v1", "v2"), ("plain", "cut", "bursty"))
        calls = pl.concat([sample(rng, kind, 1500, version=version, hop=f"gateway>{kind}") for version, kind in sides])
        found = compared(calls, by=["hop"], phases=["total"])
        wrong += bool(found.moved)
        outside += [
            bool((each.low or -np.inf) > 0 or (each.high or np.inf) < 0) for each in found.differences if each.low is not None
        ]
    assert len(outside) > 300
    assert wrong / runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / runs)
    assert np.mean(outside) <= 0.06
