"""Bursts in a report: by whatever way calls are counted, and an interval that holds the truth about as often as it says."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from meshslo.analysis import CallStore, from_calls, open_store
from meshslo.analysis.bursts import Minutes, largest_effect
from meshslo.analysis.config import Limits
from meshslo.analysis.directory import open_directory
from meshslo.analysis.rollup import KEYS
from meshslo.analysis.spread import Blocks
from meshslo.analysis.tenants import of_tenants
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.samples import held, life_tables_of

QUANTILES = (0.5, 0.95)
LONG = (0.95, 0.99)


def bursty(seed: int, minutes: int = 60, each: int = 50, spread: float = 0.35) -> tuple[np.ndarray, np.ndarray]:
    """Durations of minutes that are slow or fast as a whole, and the minute of each."""
    rng = np.random.default_rng(seed)
    minute = np.repeat(np.arange(minutes), each)
    return np.exp(rng.normal(0.0, spread, minutes))[minute] * rng.lognormal(0.0, 0.6, len(minute)), minute


def calls_of(seconds: np.ndarray, minute: np.ndarray, every_s: float = 60.0) -> pl.DataFrame:
    """These as calls, all alike but in start and duration."""
    one = make_calls([make_call()]).drop("start", "duration_s", "span_id")
    start = pl.Series(EPOCH + timedelta(seconds=float(m) * every_s + n % 50) for n, m in enumerate(minute))
    ids = pl.Series([n.to_bytes(8, "big") for n in range(1, len(seconds) + 1)])
    return pl.DataFrame({"start": start, "duration_s": seconds, "span_id": ids}).join(one, how="cross")


def mixed(seed: int = 5, hours: float = 1.0) -> pl.DataFrame:
    """Calls of two models and three tenants, some cut or failed, slow by the minute for one of the models."""
    rng = np.random.default_rng(seed)
    rows = []
    for n in range(2400):
        at_s = float(rng.uniform(0.0, 3600.0 * hours))
        pace = np.exp(0.8 * np.sin(at_s / 200.0)) if n % 2 else 1.0
        whole_s = float(pace * rng.lognormal(0.0, 0.5))
        cut = whole_s > 4.0
        outcome = "timeout" if cut else "error" if n % 40 == 0 else "ok"
        words = {"model": "ab"[n % 2], "tenant": ["x", "y", None][n % 3]}
        rows.append(make_call(at_s=at_s, duration_s=min(whole_s, 4.0), outcome=outcome, **words))
    return make_calls(rows)


def effects(store: CallStore, **asked: Any) -> list[float | None]:
    return store.report(quantiles=QUANTILES, **asked).frame["design_effect"].to_list()


def test_the_effect_is_that_of_the_minutes() -> None:
    seconds, minute = bursty(1)
    (found,) = from_calls(calls_of(seconds, minute)).report(by=["hop"], quantiles=[0.95]).frame.iter_rows(named=True)
    # Beyond the bucket that the quantile is in.
    limit_s = found["completed_value_s"] * (1.0 + 0.0055)
    long = np.bincount(minute, weights=seconds > limit_s)
    expected = largest_effect(Minutes(np.bincount(minute) * 1.0, long, np.arange(60)), sure=None)
    assert found["design_effect"] == pytest.approx(expected, rel=0.05)
    assert found["design_effect"] > 3.0


@pytest.mark.parametrize("by", [["hop"], ["model"], ["hop", "route", "model", "tenant"], ["hop", "zone"]])
@pytest.mark.parametrize("phase", ["total", "first_byte"])
def test_every_way_of_counting_says_the_same(tmp_path: Path, by: list[str], phase: Any) -> None:
    calls = mixed()
    stored = open_store(tmp_path / "store", create=True)
    stored.add(calls)
    expected = from_calls(calls).report(by=by, phase=phase, quantiles=QUANTILES).frame
    assert_frame_equal(open_store(tmp_path / "store").report(by=by, phase=phase, quantiles=QUANTILES).frame, expected)
    if phase == "total" and by == ["model"]:
        a, b = (expected.filter(pl.col("model") == model)["design_effect"].to_list() for model in "ab")
        assert max(a) < 2.0 < min(b), "only b's minutes differ"


def test_folds_say_the_same_as_calls(tmp_path: Path) -> None:
    store = open_directory(tmp_path / "store", Limits(), create=True)
    store.add(mixed(hours=72.0))
    before = {by: store.report(by=by, quantiles=QUANTILES) for by in (("hop",), ("model", "tenant"), KEYS)}
    assert all(each.frame["design_effect"].null_count() < each.frame.height for each in before.values())
    store.fold(datetime(2027, 1, 1, tzinfo=UTC))
    folded = open_store(tmp_path / "store")
    for by, each in before.items():
        assert each.to_json() == folded.report(by=by, quantiles=QUANTILES).to_json()


def test_tenants_see_the_bursts_of_their_own_calls_alone() -> None:
    calls = mixed()
    store = of_tenants(from_calls(calls), ["x"])
    alone = from_calls(calls.filter(pl.col("tenant") == "x"))
    for by in (["hop", "model"], ["model", "tenant"]):
        assert effects(store, by=by) == pytest.approx(effects(alone, by=by))


def test_what_is_counted_together_has_its_bursts_together() -> None:
    calls = mixed()
    folded = from_calls(calls, limits=Limits(models=1)).report(by=["model"], quantiles=QUANTILES).frame
    named = calls.with_columns(pl.when(pl.col("model") == "a").then(pl.lit("a")).otherwise(pl.lit("__other__")).alias("model"))
    assert_frame_equal(folded, from_calls(named).report(by=["model"], quantiles=QUANTILES).frame)


def test_where_nothing_is_known_of_bursts_it_says_why() -> None:
    seconds, minute = bursty(2)
    store = from_calls(calls_of(seconds, minute))
    plain = store.report(by=["hop"], bursts=False)
    assert plain.independent == "as asked for"
    assert plain.frame["design_effect"].to_list() == [None, None]
    few = from_calls(calls_of(*bursty(2, minutes=15))).report(by=["hop"], bursts=True)
    assert few.independent is not None
    assert "fewer than 20 minutes" in few.independent
    sparse = pl.concat([calls_of(seconds, minute), calls_of(seconds[:500], minute[:500]).with_columns(model=pl.lit("rare"))])
    rare = from_calls(sparse).report(by=["model"]).frame.filter(pl.col("model") == "rare")
    assert rare["design_effect"].to_list() == [None, None], "it has calls in ten minutes only"


def test_more_calls_than_are_looked_at_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    store = from_calls(calls_of(*bursty(3)))
    monkeypatch.setattr(CallStore, "looks_at", 2999)
    assert "more than 2,999" in str(store.report(by=["hop"]).independent)
    asked = store.report(by=["hop"], bursts=True)
    assert asked.independent is None
    assert "more than 200 hours" in str(from_calls(mixed(hours=240.0)).report(by=["hop"]).independent)
    assert asked.frame["design_effect"].null_count() == 0


@pytest.mark.parametrize(
    ("lasts", "minutes", "bucket"),
    [
        (timedelta(minutes=199), 1, "1m"),
        (timedelta(hours=10), 5, "5m"),
        (timedelta(days=1), 15, "15m"),
        (timedelta(days=7), 60, "1h"),
        (timedelta(days=30), 240, "4h"),
        (timedelta(days=90), 1440, "1d"),
        (timedelta(days=900), 1440, "1d"),
    ],
)
def test_longer_windows_have_longer_blocks(lasts: timedelta, minutes: int, bucket: str) -> None:
    blocks = Blocks.of(EPOCH, EPOCH + lasts)
    assert (blocks.minutes, blocks.bucket) == (minutes, bucket)
    assert blocks.number == lasts // timedelta(minutes=minutes) + 1


@pytest.mark.slow
@pytest.mark.parametrize(("spread", "samples"), [(0.0, 100), (0.35, 400)])
def test_an_interval_holds_the_truth_in_bursts_too(spread: float, samples: int) -> None:
    """Each sample is a hop of one store."""
    truths = np.quantile(bursty(0, 100_000, 10, spread)[0], LONG)
    drawn = np.stack([bursty(seed, spread=spread)[0] for seed in range(1, samples + 1)])
    hops = pl.DataFrame({"hop": [f"a>{n:03}" for n in range(samples)]})
    calls = hops.join(calls_of(*bursty(0, spread=spread)).drop("hop"), how="cross")
    store = from_calls(calls.with_columns(pl.Series("duration_s", drawn.ravel())))
    found, plain = store.report(by=["hop"], quantiles=LONG).frame.sort("hop", "q"), life_tables_of(drawn)
    for q, truth in zip(LONG, truths, strict=True):
        low, high = (found.filter(q=q)[end].to_numpy() for end in ("low_s", "high_s"))
        independent = plain.quantiles(q, 0.95)
        inside = (np.nan_to_num(low, nan=0.0) <= truth) & (truth <= np.nan_to_num(high, nan=np.inf))
        assert np.mean(inside) >= 0.93
        if spread:
            assert np.mean(inside) <= 0.97
            assert np.mean(held(independent, truth)) < 0.87
        else:
            assert np.mean((high - low) / (independent.high_s - independent.low_s)) < 1.1
