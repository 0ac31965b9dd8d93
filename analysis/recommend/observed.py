"""What recommenders look at: rolled-up calls, the calls themselves for what needs traces, the config, what is deployed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from math import isfinite
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis import histogram
from meshslo.analysis.bursts import LONG, Group, design_effects
from meshslo.analysis.config import Config
from meshslo.analysis.deadlines import cut_calls, find_piles
from meshslo.analysis.failover.places import placed_calls
from meshslo.analysis.lifetables import LifeTables
from meshslo.analysis.phases import measured
from meshslo.analysis.policy.deployed import Deployed
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.rollup import Rollup, roll_up
from meshslo.analysis.survival import LifeTable
from meshslo.analysis.tables import build
from meshslo.telemetry.vocabulary import OTHER, UNKNOWN, Phase

from .load import MIN_CHUNKS, CalleeLoad, loads_by_callee, seen_by_one

KEYS: Final = ("hop", "route", "model")


class Tables:
    """Life tables of one phase by hop, route and model, each hop from its outermost vantage; counted once, asked often."""

    def __init__(self, rollup: Rollup, phase: Phase, calls: pl.LazyFrame) -> None:
        """Take the cells of `phase` from a rollup by `KEYS`; `calls` are those that it counted."""
        self._source = (calls, phase)
        picked = rollup.where(pl.col("phase") == phase).by(KEYS).coarsen(None).pick_vantage()
        self._cells = picked.cells
        self._outcomes: dict[Group, dict[str, int]] = {}
        by_outcome = picked.cells.group_by(*KEYS, pl.col("outcome").cast(pl.String)).agg(pl.col("count").sum())
        for *group, outcome, number in by_outcome.iter_rows():
            self._outcomes.setdefault((group[0], group[1], group[2]), {})[outcome] = number
        self._models: dict[tuple[str, str | None], list[str | None]] = {}
        for hop, route, model in picked.cells.select(KEYS).unique(maintain_order=True).iter_rows():
            self._models.setdefault((hop, route), []).append(model)
        timed = picked.totals.filter(pl.col("event") | pl.col("censored"))
        longest = timed.group_by(KEYS).agg(pl.col("max_s").max())
        self._longest_s: dict[Group, float | None] = {(h, r, m): top for h, r, m, top in longest.iter_rows()}
        self._vantage = dict(picked.cells.select("hop", pl.col("vantage").cast(pl.String)).unique().iter_rows())

    def of(self, hop: str, route: str | None, model: str | None = None) -> LifeTable:
        """The table of a hop's route and model; of all its models together where `model` is None."""
        found = self._tables.get((hop, route, model))
        return LifeTable.from_cells(self._cells.clear(), longest_s=0.0) if found is None else found

    @cached_property
    def _tables(self) -> dict[Group, LifeTable]:
        """The life table of every model of every route, and under None of all models of it."""
        return _members(self._made)

    @cached_property
    def _made(self) -> list[tuple[list[Group], LifeTables]]:
        """The tables of every model of every route, then of every route: made in one pass each."""
        made = []
        for keys in (KEYS, KEYS[:2]):
            places = self._cells.select(keys).unique(maintain_order=True).with_row_index("group")
            rows = measured(self._cells, keys).join(places, on=list(keys), nulls_equal=True)
            groups: list[Group] = [(*place, None)[:3] for place in places.select(keys).iter_rows()]
            longest_s = np.array([self._longest(group, len(keys) == 2) for group in groups])
            made.append((groups, build(rows, longest_s, histogram.SCALE)))
        return made

    def _longest(self, group: Group, of_route: bool) -> float:
        members = self._groups(*group[:2], None) if of_route else [group]
        return max((self._longest_s.get(member) or 0.0 for member in members), default=0.0)

    def careful(self, hop: str, route: str | None, model: str | None = None) -> LifeTable:
        """`of`, its calls counting for fewer where those of one minute go together (see `bursts`)."""
        return self._careful.get((hop, route, model)) or self.of(hop, route, model)

    @cached_property
    def _careful(self) -> dict[Group, LifeTable]:
        """`_tables`, of calls that count for fewer; nothing where none do."""
        fewer = []
        for groups, many in self._made if self._effects else ():
            effects = np.array([self._effects.get(group, 1.0) for group in groups])
            fewer.append((groups, replace(many, weight_sq=many.weight_sq * effects)))
        return _members(fewer)

    @cached_property
    def _effects(self) -> dict[Group, float]:
        if self._cells.is_empty():
            return {}
        limits_s = dict(self._long_s(KEYS)) | {(hop, route, None): limit for (hop, route), limit in self._long_s(KEYS[:2])}
        return design_effects(*self._source, limits_s, self._vantage)

    def _long_s(self, keys: tuple[str, ...]) -> Iterator[tuple[Any, float]]:
        """For each group the duration that a share `LONG` of the calls seen to their end stay within."""
        ended = self._cells.filter("event").group_by(*keys, "index").agg(pl.col("count").sum()).sort("index")
        through = pl.col("count").cum_sum() >= LONG * pl.col("count").sum()
        found = ended.group_by(*keys).agg(pl.col("index").filter(through).first())
        for *group, index in found.with_columns(histogram.midpoint_expr(pl.col("index")).alias("index")).iter_rows():
            yield tuple(group), float(index)

    def outcomes(self, hop: str, route: str | None, model: str | None = None) -> dict[str, int]:
        """Number of calls by outcome, those without a duration among them."""
        counted: dict[str, int] = {}
        for group in self._groups(hop, route, model):
            for outcome, calls in self._outcomes.get(group, {}).items():
                counted[outcome] = counted.get(outcome, 0) + calls
        return counted

    def models(self, hop: str, route: str | None) -> list[str]:
        """Models seen on a route, in order."""
        return sorted(model for model in self._models.get((hop, route), ()) if model is not None)

    def vantage(self, hop: str) -> str:
        """Who saw this phase of the hop's calls."""
        return str(self._vantage.get(hop, "nobody"))

    def _groups(self, hop: str, route: str | None, model: str | None) -> list[Group]:
        return [(hop, route, other) for other in self._models.get((hop, route), ()) if model in (None, other)]


def _members(made: Iterable[tuple[list[Group], LifeTables]]) -> dict[Group, LifeTable]:
    """Each group's own. Calls without a model have none: under None stand all of the route, which come later."""
    return {group: LifeTable(many, place) for groups, many in made for place, group in enumerate(groups)}


@dataclass(frozen=True, eq=False)
class Observed:
    """All the evidence there is. `calls` are rows of `telemetry.schema`; `rollup` is by hop, route and model."""

    rollup: Rollup
    calls: pl.LazyFrame
    config: Config = field(default_factory=Config)
    deployed: Deployed = field(default_factory=Deployed)
    series: pl.LazyFrame | None = None
    """Metric series (`telemetry.store.metrics.SERIES`), for what needs no single calls; None where there are none."""
    one_sided: pl.LazyFrame | None = None
    """Calls that name their callee and no caller, as inbound access logs do; None where nobody looked."""

    @cached_property
    def whole_by_hop(self) -> Rollup:
        """Whole calls by hop, each from its outermost vantage; made once, as it takes as long as many hops together."""
        return self.rollup.where(pl.col("phase") == "total").by(("hop",)).pick_vantage()

    @cached_property
    def window(self) -> tuple[datetime, datetime] | None:
        """When the first call started, and when the last one did; of metrics where there are no calls; None for neither."""
        start = pl.col("start")
        ends = self.calls.select(start.min().alias("first"), start.max().alias("last")).collect()
        if ends.item(0, "first") is None and self.series is not None:
            ends = self.series.select(start.list.min().min().alias("first"), start.list.max().max().alias("last")).collect()
        first, last = ends.row(0)
        return None if first is None else (first, last)

    @property
    def window_s(self) -> float:
        """Seconds from the first call's start to the last one's."""
        return (self.window[1] - self.window[0]).total_seconds() if self.window else 0.0

    @cached_property
    def routes(self) -> list[tuple[str, str | None]]:
        """Every hop and route seen, in order."""
        pairs: Sequence[tuple[str, str | None]] = self.rollup.cells.select("hop", "route").unique().rows()
        return sorted(pairs, key=lambda pair: (pair[0], pair[1] or ""))

    @cached_property
    def streamed(self) -> frozenset[tuple[str, str | None]]:
        """Hops and routes that somebody saw stream: answers in two chunks or more that are not told to come whole."""
        streams = pl.col("streaming").fill_null(value=True) & (pl.col("chunks") > 1)
        seen = self.calls.filter(streams).select("hop", "route").unique().collect()
        return frozenset((hop, route) for hop, route in seen.iter_rows())

    def tables(self, phase: Phase) -> Tables:
        """The life tables of a phase."""
        return self._all_tables[phase]

    @cached_property
    def _all_tables(self) -> dict[Phase, Tables]:
        return {phase: Tables(self.rollup, phase, answered(self.calls)) for phase in self.rollup.phases}

    @cached_property
    def silences(self) -> Tables:
        """Tables of the longest silence of each call as an idle timer sees it; see `silent_calls`."""
        calls = silent_calls(answered(self.calls))
        return Tables(roll_up(calls, keys=KEYS, bucket=None, phases=("max_gap",)), "max_gap", calls)

    @cached_property
    def chunk_times(self) -> Tables:
        """Tables of each stream's mean time per chunk after the first; cut streams show it as well as whole ones."""
        streams = answered(self.calls).filter(pl.col("first_token_s").is_not_null() & (pl.col("chunks") >= MIN_CHUNKS))
        timed = streams.with_columns(_PER_CHUNK.alias("duration_s"), pl.lit("ok").alias("outcome"))
        return Tables(roll_up(timed, keys=KEYS, bucket=None, phases=("total",)), "total", timed)

    @cached_property
    def loads(self) -> Mapping[str, CalleeLoad]:
        """What load each callee was under: see `loads_by_callee`."""
        return loads_by_callee(self.calls)

    @cached_property
    def placed(self) -> Mapping[str, pl.DataFrame]:
        """Calls of each hop of which one names a place, or that the config has places for: see `placed_calls`."""
        return placed_calls(self.calls, {name for hop in self.config.hops.values() for name in hop.failover or ()})

    @cached_property
    def seen(self) -> Mapping[str, int]:
        """Calls of each hop as one vantage saw them."""
        return seen_by_one(self.calls)

    @cached_property
    def answer_lengths(self) -> Mapping[str | None, int]:
        """The longest answer of each model seen anywhere, in chunks or tokens; under None, of any model."""
        length = pl.max_horizontal("chunks", "output_tokens").max().alias("longest")
        by_model = self.calls.group_by("model").agg(length).collect()
        longest = {model: int(n) for model, n in by_model.iter_rows() if n and model is not None}
        return longest | {None: int(by_model["longest"].max() or 0)}  # type: ignore[arg-type]  # polars types max() as any value


_HEADERS_S: Final = pl.coalesce("first_byte_s", pl.lit(0.0))
_AT_ONCE: Final = pl.coalesce(~pl.col("streaming"), pl.col("chunks") <= 1, pl.lit(value=False)) & (pl.col("outcome") == "ok")
_SILENCE: Final = (
    pl.when(pl.col("first_token_s").is_not_null())
    .then(pl.max_horizontal("first_byte_s", pl.col("first_token_s") - _HEADERS_S, "max_gap_s", "open_gap_s"))
    .when(_AT_ONCE)
    .then(pl.coalesce("first_byte_s", "duration_s"))
    # Nobody saw chunks: all of the body may have been one silence. Too long errs on the side that cuts nobody.
    .otherwise(pl.max_horizontal("first_byte_s", pl.col("duration_s") - _HEADERS_S))
)
_PER_CHUNK: Final = (pl.col("duration_s") - pl.coalesce("open_gap_s", pl.lit(0.0)) - pl.col("first_token_s")) / (
    pl.col("chunks").cast(pl.Float64) - 1
)


def answered(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls whose headers and first token are those of an answer, null where they are an error's.

    A callee that passes on a timer further in says 504, and says it early: those headers are not when an answer would have
    come. Such a call counts as cut, and other errors not at all.
    """
    genuine = (pl.col("outcome") == "ok") | (pl.col("status_code") < 400) | (pl.col("chunks") > 1)
    return calls.with_columns(pl.when(genuine).then(pl.col(name)).alias(name) for name in ("first_byte_s", "first_token_s"))


def silent_calls(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls with `max_gap_s` as the longest silence that an idle timer sees.

    Such a timer runs from the request on and starts again with the headers and with every chunk. So an answer that is not
    streamed is silent until its headers, and a server that sends headers early and thinks then is silent until the first
    token: both count, not only the gaps between chunks. Only vantages that saw gaps of the hop's streams are kept.
    """
    seeing = calls.filter(pl.col("max_gap_s").is_not_null())
    pairs = seeing.select("hop", "vantage").unique()
    return calls.join(pairs, on=["hop", "vantage"], how="semi").with_columns(_SILENCE.alias("max_gap_s"))


def observe(
    calls: pl.LazyFrame,
    config: Config | None = None,
    deployed: Deployed | None = None,
    series: pl.LazyFrame | None = None,
) -> Observed:
    """Roll calls up for the recommenders. Routes and models beyond the config's limits count with those that have none.

    Calls of which one side is unknown stay out: a policy of routes needs both, and their other half counts under the true
    hop. Those without a caller stand apart, for who asks about connections alone.
    """
    no_caller = pl.col("hop").str.starts_with(f"{UNKNOWN}>")
    received = calls.filter(~pl.col("hop").str.ends_with(f">{UNKNOWN}"))
    whole = received.filter(~no_caller)
    named = whole.with_columns(pl.when(pl.col(key) != OTHER).then(pl.col(key)).alias(key) for key in ("route", "model"))
    rollup = roll_up(answered(named), keys=KEYS, bucket=None)
    piles = find_piles(rollup)
    if piles:
        # What a hidden deadline ended is taken for cut by a timer everywhere.
        named = cut_calls(named, piles)
        rollup = roll_up(answered(named), keys=KEYS, bucket=None)
    return Observed(rollup, named, config or Config(), deployed or Deployed(), series, received.filter(no_caller))


def differ(tables: Mapping[str, LifeTable], shares: Sequence[float], confidence: float) -> bool:
    """Whether groups differ beyond noise: at the first of `shares` that two or more can tell, two intervals are disjoint.

    A group whose tail is hidden counts with its lower bound: it differs from those that surely end before.
    """
    for q in shares:
        needed = calls_needed(q, confidence)
        found = [table.quantile(q, confidence) for table in tables.values() if table.calls >= needed]
        told = [each for each in found if each.status != "not_identifiable"]
        highs_s = [each.high_s for each in told if each.status == "ok" and each.high_s is not None and isfinite(each.high_s)]
        if len(told) >= 2 and highs_s:
            return max((each.low_s for each in told if each.low_s is not None), default=0.0) > min(highs_s)
    return False
