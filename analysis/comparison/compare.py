"""What differs between two sides beyond noise: durations, success, and which hop's own time moved."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from meshslo.analysis.bursts import BLOCK, design_effect
from meshslo.analysis.deadlines import Pile, hidden_cuts
from meshslo.analysis.paths import TimedTraces, time_traces
from meshslo.telemetry.errors import StoreError
from meshslo.telemetry.schema import conform
from meshslo.telemetry.vocabulary import CENSORED, VANTAGES, Phase

from .difference import Floats, Limits, difference, holm, p_values, shares
from .mix import AtOneMix, at_one_mix
from .result import MOVED, WHOLE, Compared, Difference, Estimate, Quantity, Verdict
from .samples import Sample, samples
from .sides import Side, traces_apart

PHASES: Final[tuple[Phase, ...]] = ("total", "first_token")

SHOWN: Final = 5
"""Groups of one side alone that are named; of more their number is told."""


@dataclass(frozen=True)
class Asked:
    """What is compared: groups by keys, phases, quantiles; confidence of the intervals and of all verdicts together."""

    keys: tuple[str, ...] = ("hop", "route")
    phases: tuple[Phase, ...] = PHASES
    quantiles: tuple[float, ...] = (0.5, 0.95, 0.99)
    confidence: float = 0.95


def compare(a: Side, b: Side, asked: Asked) -> Compared:
    """`b` against `a`: every group that both have, in every phase and quantile; success; hops' own times in traces.

    What surely moved comes first, the largest change before the others; inside the noise the order is that of the groups.
    """
    a, b, hidden = _with_hidden_cuts(a, b)
    left_out = [str(pile) for pile in hidden]
    found = [each for phase in asked.phases for each in _durations(a, b, phase, asked)]
    found += _successes(a, b, asked, left_out)
    for pair in at_one_mix(a, b):
        if isinstance(pair, str):
            left_out.append(pair)
        else:
            found += _at_one_mix(pair, asked.confidence)
    found += _of_traces(a, b, asked, left_out)
    judged = sorted(_judged(found, asked.confidence), key=_rank)
    return Compared(a.name, b.name, asked.confidence, tuple(judged), tuple(left_out))


def _with_hidden_cuts(a: Side, b: Side) -> tuple[Side, Side, list[Pile]]:
    """Both sides with calls at hidden deadlines counted as cut, on each those of its own window."""
    windows = {id(side.window): hidden_cuts(side.window) for side in (a, b)}
    sides = [replace(side, window=windows[id(side.window)][0]) for side in (a, b)]
    return sides[0], sides[1], [pile for _, piles in windows.values() for pile in piles]


def _durations(a: Side, b: Side, phase: Phase, asked: Asked) -> Iterator[Difference]:
    calls = [_streams(side.calls) if phase == "first_token" else side.calls for side in (a, b)]
    sides = samples(calls[0], calls[1], asked.keys, phase)
    for q in asked.quantiles:
        yield from _quantiles(sides, q, asked.confidence, About("duration", phase))


def _streams(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls of hops and routes that stream, or whose chunks nobody counted: elsewhere the first token is the last one."""
    counted = pl.col("chunks").max().over("hop", "route")
    return calls.filter(counted.is_null() | (counted > 1))


def _of_traces(a: Side, b: Side, asked: Asked, left_out: list[str]) -> Iterator[Difference]:
    of_a, of_b, both = traces_apart(a, b)
    if both:
        left_out.append(f"{both:,} traces have calls of both sides: their chains are compared with none")
    try:
        yield from _own_times(time_traces(of_a), time_traces(of_b), asked)
    except StoreError:
        left_out.append("there are no traces on both sides, so that nobody can tell which hop moved")


def _own_times(a: TimedTraces, b: TimedTraces, asked: Asked) -> Iterator[Difference]:
    sides = samples(_as_calls(a), _as_calls(b), ("route", "hop"), "total")
    for q in asked.quantiles:
        for each in _quantiles(sides, q, asked.confidence, About("own_time", None)):
            yield replace(each, target={"entry": each.target["route"], "hop": each.target["hop"]})


def _as_calls(traces: TimedTraces) -> pl.LazyFrame:
    """Each hop's own time in each trace, and the whole trace's, as a call whose route is the way in."""
    ended = traces.entries.filter((pl.col("outcome") == "ok") | pl.col("outcome").is_in(sorted(CENSORED)))
    entry = pl.concat_str("hop", pl.coalesce(pl.lit(" ") + pl.col("route"), pl.lit("")))
    entries = ended.with_columns(entry.alias("route"))
    whole = entries.select("route", "start", "weight", "outcome", hop=pl.lit(WHOLE), duration_s="total_s")
    ending = pl.when("cut").then(pl.lit("timeout")).otherwise(pl.lit("ok"))
    hops = traces.hops.join(entries.select("trace", "route", "start", "weight"), on="trace").select(
        "route", "start", "weight", outcome=ending, hop="hop", duration_s="own_s"
    )
    return conform(pl.concat([whole, hops.select(whole.columns)]).with_columns(vantage=pl.lit("client"))).lazy()


def _at_one_mix(pair: AtOneMix, confidence: float) -> Iterator[Difference]:
    """The difference of what calls of one and the same number of tokens typically take."""

    def at(level: float) -> tuple[Limits, Limits]:
        return pair.limits(pair.a, level), pair.limits(pair.b, level)

    p_value = p_values(lambda level: difference(*at(level)))
    what = {"quantity": "at_one_mix", "phase": "total", "q": None, "unit": "s"}
    yield from _differences(what, [pair.target], [(pair.a.calls, pair.b.calls)], at(confidence), p_value)


class About(NamedTuple):
    """What a difference is of."""

    quantity: Quantity
    phase: Phase | None


def _quantiles(sides: tuple[Sample, Sample], q: float, confidence: float, about: About) -> Iterator[Difference]:
    """The differences of a quantile, group by group; p_adjusted is that of each alone."""
    a, b = (side.quantiles(q, confidence) for side in sides)
    p_value = p_values(lambda at: difference(*(side.quantiles(q, at) for side in sides)))
    calls = zip(*(side.calls for side in sides), strict=True)
    yield from _differences(
        about._asdict() | {"q": q, "unit": "s"},
        [dict(zip(sides[0].keys, group, strict=True)) for group in sides[0].groups],
        calls,
        (a, b),
        p_value,
    )


def _successes(a: Side, b: Side, asked: Asked, left_out: list[str]) -> Iterator[Difference]:
    """The differences of the share of calls that end ok; says in `left_out` which groups are on one side alone."""
    outermost = _outermost(a, b)
    one, other = (_endings(side.calls.join(outermost, on=["hop", "vantage"], how="semi"), asked.keys) for side in (a, b))
    on = list(asked.keys)
    counted = one.join(other, on=on, nulls_equal=True, suffix="_b")
    for side, mine, theirs in ((a, one, other), (b, other, one)):
        alone = mine.join(theirs, on=on, how="anti", nulls_equal=True).select(on).rows()
        if alone:
            names = ", ".join(" ".join(word for word in group if word) or "-" for group in alone[:SHOWN])
            more = f" and {len(alone) - SHOWN} more" if len(alone) > SHOWN else ""
            left_out.append(f"only {side.name} has calls of {names}{more}")
    calls = list(counted.select("calls", "calls_b").iter_rows())
    if not calls:
        return

    def at(confidence: float) -> tuple[Limits, Limits]:
        return _shares(counted, "", confidence), _shares(counted, "_b", confidence)

    p_value = p_values(lambda confidence: difference(*at(confidence)))
    what = {"quantity": "success", "phase": None, "q": None, "unit": "ratio"}
    yield from _differences(what, counted.select(asked.keys).to_dicts(), calls, at(asked.confidence), p_value)


def _outermost(a: Side, b: Side) -> pl.LazyFrame:
    """The vantage nearest to the caller that saw each hop, of both sides together."""
    order = pl.col("vantage").cast(pl.Enum(VANTAGES))
    seen = pl.concat([side.calls.select("hop", "vantage") for side in (a, b)]).unique()
    return seen.sort("hop", order).unique("hop", keep="first")


def _shares(counted: pl.DataFrame, side: str, confidence: float) -> Limits:
    worth = counted[f"effective{side}"].to_numpy()
    return shares(counted[f"ok{side}"].to_numpy() * worth, worth, confidence)


def _endings(calls: pl.LazyFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Each group's calls, the share of them that ended ok, and how many independent ones they are worth."""
    weight = pl.col("weight").fill_null(1.0)
    bad = pl.col("outcome") != "ok"
    minutes = (
        calls.group_by(*keys, pl.col("start").dt.truncate(BLOCK).alias("minute"))
        .agg(
            pl.len().alias("n"),
            bad.sum().alias("bad"),
            weight.sum().alias("w"),
            (weight**2).sum().alias("w2"),
            weight.filter(~bad).sum().alias("good"),
        )
        .collect()
    )
    rows = []
    for key, part in minutes.partition_by(keys, as_dict=True, maintain_order=True).items():
        weights, squares = float(part["w"].sum()), float(part["w2"].sum())
        effect = design_effect(part["n"].to_numpy() * 1.0, part["bad"].to_numpy() * 1.0, sure=None)
        rows.append((*key, int(part["n"].sum()), float(part["good"].sum()) / weights, weights**2 / squares / effect))
    numbers = {"calls": pl.Int64, "ok": pl.Float64, "effective": pl.Float64}
    return pl.DataFrame(rows, schema={**dict.fromkeys(keys, pl.String), **numbers}, orient="row").sort(keys)


def _differences(
    what: Mapping[str, Any], targets: Sequence[Mapping[str, str | None]], calls: Iterable[tuple[int, int]],
    sides: tuple[Limits, Limits], p_value: Floats,
) -> Iterator[Difference]:  # fmt: skip
    found = difference(*sides)
    for n, (target, (of_a, of_b)) in enumerate(zip(targets, calls, strict=True)):
        estimate, low, high = _plain(found, n)
        yield Difference(
            **what,
            target=dict(target),
            a=Estimate(of_a, *_plain(sides[0], n)),
            b=Estimate(of_b, *_plain(sides[1], n)),
            estimate=estimate,
            low=low,
            high=high,
            p_adjusted=float(p_value[n]),
            verdict="inside_noise",
        )


def _plain(limits: Limits, place: int) -> tuple[float | None, float | None, float | None]:
    estimate, low, high = (float(part[place]) for part in limits)
    return tuple(value if np.isfinite(value) else None for value in (estimate, low, high))  # type: ignore[return-value]  # three


def _judged(found: Sequence[Difference], confidence: float) -> tuple[Difference, ...]:
    """The same with p-values of all together and what follows from them.

    Where calls are too few on a side nothing is tested, so that these are not among those that luck could strike.
    """
    tested = np.array([each.is_tested for each in found], dtype=bool)
    adjusted = np.ones(len(found))
    adjusted[tested] = holm(np.array([each.p_adjusted for each in found])[tested])
    return tuple(
        replace(each, p_adjusted=float(p), verdict=_verdict(each, surely=bool(p <= 1.0 - confidence + 1e-12)))
        for each, p in zip(found, adjusted, strict=True)
    )


def _rank(each: Difference) -> tuple[int, float]:
    """What moved first, most of all shares of calls, then by how much of A it surely is; then noise; then what nobody knows."""
    if each.verdict not in MOVED:
        return (3 if each.verdict == "not_identifiable" else 2), 0.0
    surely = max(each.low or 0.0, -(each.high or 0.0))
    of = each.a.value or each.a.low
    return int(each.quantity != "success"), -(surely / of if of else math.inf)


def _verdict(each: Difference, *, surely: bool) -> Verdict:
    if not each.is_tested:
        return "not_identifiable"
    if not surely:
        return "inside_noise"
    more = each.low is not None and each.low > 0.0
    if each.quantity == "success":
        return "better" if more else "worse"
    return "slower" if more else "faster"
