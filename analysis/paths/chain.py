"""For each way into the chain: how long its traces take, and which hops they spend it on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis import histogram
from meshslo.analysis.deadlines import hidden_cuts
from meshslo.analysis.quantile import Quantile
from meshslo.analysis.resampling import time_blocks
from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.vocabulary import CENSORED

from .critical import Path, Repair, critical_path, repair
from .result import Chain, HopTime, Share, Slow, Way
from .shares import Shares, Spent, slow_shares
from .traces import ENTRY_KEYS, Traces, read_traces

BETWEEN: Final = "(between repetitions)"
"""Stands as a hop for the time between calls that a client outside repeated."""

_CUT: Final = pl.col("outcome").is_in(sorted(CENSORED))


@dataclass(frozen=True)
class Asked:
    """What a chain is asked: quantiles, confidence of intervals, and the source of the resamples behind the shares'."""

    quantiles: tuple[float, ...]
    rng: np.random.Generator
    confidence: float = 0.95


def chain(calls: pl.LazyFrame, asked: Asked, by: Sequence[str] = ("route",)) -> Chain:
    """The chain of each entry hop and the keys `by` of the calls that traces began with.

    Raises StoreError where no call is part of a trace, BadInputError for keys that entry calls are not told apart by.
    """
    wrong = [key for key in by if key not in ENTRY_KEYS]
    if wrong:
        raise BadInputError(f"chains are told apart by {', '.join(ENTRY_KEYS)} of the entry call, not by {', '.join(wrong)}")
    calls, piles = hidden_cuts(calls)
    timed = time_traces(calls)
    ways = tuple(_way(entry, dict(zip(by, keys, strict=True)), part, timed, asked) for (entry, *keys), part in timed.parts(by))
    count, fixed = timed.traces.calls.height, timed.repair
    outside, repaired, unawaited = (int(flags[:count].sum()) for flags in (fixed.outside, fixed.repaired, fixed.unawaited))
    left_out, one_in = timed.traces.left_out, timed.traces.one_in
    return Chain(ways, asked.quantiles, count, outside, repaired, unawaited, left_out, one_in, tuple(map(str, piles)))


def time_traces(calls: pl.LazyFrame) -> "TimedTraces":
    """The traces of `calls` with their critical paths; StoreError where there are none."""
    traces = read_traces(calls)
    if not len(traces):
        raise StoreError("no call there has a trace_id and a duration, so there is no chain to see: collect or import spans")
    fixed = repair(traces.forest)
    return TimedTraces(traces, fixed, critical_path(fixed.forest))


@dataclass(frozen=True, eq=False)
class TimedTraces:
    """Traces with the seconds of each of their calls."""

    traces: Traces
    repair: Repair
    path: Path

    @cached_property
    def entries(self) -> pl.DataFrame:
        """A row a trace: hop, keys, start, weight and outcome of its entry call, total_s, between_s (see `BETWEEN`)."""
        count, forest = self.traces.calls.height, self.repair.forest
        return self.traces.entries.with_columns(
            total_s=pl.Series((forest.end_s - forest.begin_s)[count:]), between_s=pl.Series(self.path.own_s[count:])
        )

    @cached_property
    def hops(self) -> pl.DataFrame:
        """A row a trace and hop: on_path_s, own_s, cut (what is known is a lower bound), calls, repeated, parallel, depth."""
        count = self.traces.calls.height
        timed = self.traces.calls.select("hop", "outcome", "attempt", "vantage").with_columns(
            trace=pl.Series(self.traces.trace),
            depth=pl.Series(self.traces.forest.depth[:count]),
            on_path_s=pl.Series(self.path.on_path_s[:count]),
            own_s=pl.Series(self.path.own_s[:count]),
            parallel=pl.Series(self._parallel),
        )
        return (
            timed.group_by("trace", "hop")
            .agg(
                pl.col("on_path_s", "own_s").sum(),
                (_CUT & (pl.col("on_path_s") > 0.0)).any().alias("cut"),
                pl.len().cast(pl.Int64).alias("calls"),
                (pl.col("attempt") > 1).sum().cast(pl.Int64).alias("repeated"),
                pl.col("parallel").max(),
                pl.col("depth").min(),
                pl.col("vantage").first(),
            )
            .sort("trace", "hop")
        )

    @property
    def _parallel(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """How many calls of its hop under one parent run when each call begins, itself among them."""
        count, forest = self.traces.calls.height, self.repair.forest
        group = self.traces.calls.select(pl.struct(pl.Series("parent", forest.parent[:count]), "hop").rank("dense")).to_series()
        several = np.flatnonzero(np.bincount(group)[group.to_numpy()] > 1)
        begins = pl.DataFrame({"group": group[several], "row": several, "at": forest.begin_s[several], "change": 1})
        ends = begins.with_columns(row=pl.lit(-1, dtype=pl.Int64), at=pl.Series(forest.end_s[several]), change=pl.lit(-1))
        # At one moment ends come first: what follows at once is serial.
        swept = pl.concat([begins, ends], how="vertical_relaxed").sort("group", "at", "change", "row")
        begun = swept.with_columns(pl.col("change").cum_sum().over("group")).filter(pl.col("row") >= 0)
        running = np.ones(count, dtype=np.int64)
        running[begun["row"].to_numpy()] = begun["change"].to_numpy()
        return running

    def parts(self, by: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pl.DataFrame]]:
        """The entries of each entry hop and keys, the busiest first."""
        parts = self.entries.partition_by("hop", *by, as_dict=True, maintain_order=True)
        return iter(sorted(parts.items(), key=lambda item: (-item[1].height, str(item[0]))))


def _way(entry: str, keys: dict[str, str | None], every: pl.DataFrame, timed: TimedTraces, asked: Asked) -> Way:
    part = every.filter((pl.col("outcome") == "ok") | _CUT)
    times = _with_between(timed.hops.join(part.select("trace", "weight"), on="trace"), part)
    hops = times.group_by("hop").agg(pl.col("depth").min()).sort("depth", "hop")
    shares = _shares(part, times, hops["hop"].to_list(), asked)
    return Way(
        entry=entry,
        keys=keys,
        traces=part.height,
        failed=every.height - part.height,
        total=_quantiles(part.select("total_s", "weight", _CUT.alias("cut")), "total_s", asked),
        slow=tuple(Slow(share.traces, share.needs_traces) for share in shares),
        hops=tuple(
            _hop(name, depth, times.filter(pl.col("hop") == name), [_share(share, n) for share in shares], asked)
            for n, (name, depth) in enumerate(hops.iter_rows())
        ),
    )


def _with_between(times: pl.DataFrame, part: pl.DataFrame) -> pl.DataFrame:
    """`times` with the time between repetitions as a hop of its own, where there is any."""
    waited = part.filter(pl.col("between_s") > 0.0)
    between = waited.select(
        "trace", "weight", hop=pl.lit(BETWEEN), on_path_s="between_s", own_s="between_s", cut=pl.lit(value=False),
        calls=pl.lit(0, dtype=pl.Int64), repeated=pl.lit(0, dtype=pl.Int64), parallel=pl.lit(0, dtype=pl.Int64),
        depth=pl.lit(0, dtype=pl.Int64), vantage=pl.lit("-"),
    )  # fmt: skip
    return pl.concat([times, between.select(times.columns)])


def _shares(part: pl.DataFrame, times: pl.DataFrame, hops: list[str], asked: Asked) -> list[Shares]:
    own_s = np.zeros((part.height, len(hops)))
    place = part.select("trace").with_row_index("place")
    column = pl.DataFrame({"hop": hops, "column": range(len(hops))}, schema={"hop": pl.String, "column": pl.Int64})
    at = times.join(place, on="trace").join(column, on="hop")
    own_s[at["place"].to_numpy(), at["column"].to_numpy()] = at["own_s"].to_numpy()
    spent = Spent(part["total_s"].to_numpy(), own_s, part["weight"].to_numpy(), time_blocks(part["start"]))
    return [slow_shares(spent, q, asked.rng, asked.confidence) for q in asked.quantiles]


def _share(found: Shares, place: int) -> Share | None:
    if found.needs_traces:
        return None
    return Share(float(found.estimate[place]), float(found.low[place]), float(found.high[place]))


def _hop(name: str, depth: int, times: pl.DataFrame, shares: list[Share | None], asked: Asked) -> HopTime:
    return HopTime(
        hop=name,
        depth=depth,
        vantage=str(times["vantage"][0]),
        traces=times.height,
        calls=int(times["calls"].sum()),
        repeated=int(times["repeated"].sum()),
        parallel=int(times["parallel"].max() or 0),  # type: ignore[arg-type]  # polars types max() as any value
        on_path=_quantiles(times, "on_path_s", asked),
        own=_quantiles(times, "own_s", asked),
        shares=tuple(shares),
    )


def _quantiles(times: pl.DataFrame, column: str, asked: Asked) -> tuple[Quantile, ...]:
    table = LifeTable.from_durations(times[column].to_numpy(), ~times["cut"].to_numpy(), times["weight"].to_numpy())
    return tuple(_from_zero(table.quantile(q, asked.confidence)) for q in asked.quantiles)


def _from_zero(found: Quantile) -> Quantile:
    """No time at all is counted in the lowest bucket: its edges are 0."""

    def edge(value_s: float | None) -> float | None:
        return 0.0 if value_s is not None and value_s <= histogram.FLOOR_S else value_s

    return replace(found, value_s=edge(found.value_s), low_s=edge(found.low_s), high_s=edge(found.high_s))
