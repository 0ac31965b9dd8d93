"""Hidden deadlines: calls that end at one and the same value although nothing says that a timer cut them.

A stream that a timer truncated is often logged as a success, a deadline in a client's library as a mere error. Taken for
endings of their own, such calls make every quantile look bounded by the timer. They are found as a pile at the end of a
hop's durations, and count as cut.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betainc

from . import histogram
from .adding import CELL_VALUES
from .folding import EXTREMES, TOTAL_VALUES, Rollup, from_cells, place
from .groups import numbered
from .rollup import roll_up


@dataclass(frozen=True)
class Owner:
    """Whose default a deadline is, in seconds, and where that is written."""

    value_s: float
    who: str
    source: str


OWNERS: Final = (
    Owner(5, "httpx clients (silence)", "httpx: httpx/_config.py, DEFAULT_TIMEOUT_CONFIG"),
    Owner(10, "Linkerd's ServiceProfile routes", "linkerd/linkerd2: ServiceProfile, timeout of a route"),
    Owner(10, "OTLP exporters", "open-telemetry: OTEL_EXPORTER_OTLP_TIMEOUT"),
    Owner(15, "an Envoy route (and of Envoy Gateway)", "envoyproxy/envoy: RouteAction.timeout"),
    Owner(29, "Amazon API Gateway", "AWS: API Gateway quotas, integration timeout"),
    Owner(30, "a Google Cloud load balancer's backend", "Google Cloud: BackendService.timeoutSec"),
    Owner(60, "Envoy AI Gateway", "envoyproxy/ai-gateway: AIGatewayRoute timeouts.request"),
    Owner(60, "nginx (silence)", "nginx: proxy_read_timeout"),
    Owner(60, "an AWS application load balancer (silence)", "AWS: idle_timeout.timeout_seconds"),
    Owner(100, "Cloudflare (until headers)", "Cloudflare: error 524, Proxy Read Timeout"),
    Owner(300, "an Envoy listener (silence)", "envoyproxy/envoy: HttpConnectionManager.stream_idle_timeout"),
    Owner(300, "aiohttp clients", "aio-libs/aiohttp: ClientTimeout.total"),
    Owner(600, "the OpenAI SDKs", "openai/openai-python: openai/_constants.py, DEFAULT_TIMEOUT"),
    Owner(3600, "an Envoy connection's idle timer", "envoyproxy/envoy: HttpProtocolOptions.idle_timeout"),
)  # fmt: skip
"""Defaults that cut calls of inference, shortest first."""

ROUND_S: Final = (
    5, 8, 10, 12, 15, 20, 25, 29, 30, 40, 45, 50, 60, 75, 90, 100, 120, 150, 180, 240, 300, 360, 480, 600, 900, 1200, 1800,
    3600,
)  # fmt: skip
"""What people set: only at one of these is a pile of calls that ended ok a deadline's."""

LATE_RATIO: Final = 0.02
LATE_S: Final = 0.25
"""Timers fire late by so much at most, and never early; what is noted of it may be early by a hundredth of that."""

FEWEST: Final = 30
"""Fewer endings at one value may be chance. Source: methods ask for 30 cut calls."""

ERR: Final = 1e-9
"""Probability that a pile comes about by chance from what its neighbourhood holds."""

LARGEST_SHARE: Final = 0.5
"""A pile of more of all calls than this is how long that work takes."""

BEYOND_RATIO: Final = 0.1
"""Beyond a deadline there is next to nothing: so many calls at most for each that it cut."""

AROUND: Final = 10
"""Buckets on each side that a pile is compared with, a tenth of its duration."""

STANDS_OUT: Final = 4.0
"""A pile holds so many times what any bucket near it does: durations that were rounded make many piles alike."""

SHORTEST_ERROR_S: Final = 1.0
"""Errors that pile up sooner come of something that fails at once."""


@dataclass(frozen=True)
class Pile:
    """Calls of a hop and route, at one vantage, that ended at one value without a word of a timer.

    value_s: the deadline as people would set it. low_s, high_s: the buckets that the endings lie in. outcomes: how the calls
    are said to have ended, and how many.
    """

    vantage: str
    hop: str
    route: str | None
    value_s: float
    low_s: float
    high_s: float
    outcomes: dict[str, int]

    @property
    def calls(self) -> int:
        """Calls that ended there."""
        return sum(self.outcomes.values())

    def __str__(self) -> str:
        """The sentence a person can repeat."""
        ended = " and ".join(f"{calls:,} {outcome}" for outcome, calls in self.outcomes.items())
        where = f"{self.hop} {self.route}" if self.route else self.hop
        return f"{where}: {ended} of its calls ended at {self.value_s:g} s, {likely(self.value_s)}; they count as cut there"


def owners(value_s: float) -> tuple[Owner, ...]:
    """Whose default a deadline is that was seen at `value_s`.

    >>> [owner.who for owner in owners(15.004)]
    ['an Envoy route (and of Envoy Gateway)']
    """
    return tuple(owner for owner in OWNERS if _fires(owner.value_s, value_s))


def likely(value_s: float) -> str:
    """Whose deadline it is likely to be, in words.

    >>> likely(600.2), likely(42.0)
    ('the default of the OpenAI SDKs', "a timer's value")
    """
    found = owners(value_s)
    return "the default of " + ", or of ".join(owner.who for owner in found) if found else "a timer's value"


def _fires(set_s: float, seen_s: float) -> bool:
    late_s = min(LATE_S, LATE_RATIO * set_s)
    return set_s - late_s / 100 <= seen_s <= set_s + late_s


def find_piles(rollup: Rollup) -> tuple[Pile, ...]:
    """The piles of a rollup with phase `total` and the key `hop`; by route too where that is a key.

    Timed buckets of metrics are too wide to show any.
    """
    if rollup.scale != histogram.SCALE:
        return ()
    keys = [key for key in ("hop", "route") if key in rollup.keys]
    timed = rollup.where((pl.col("phase") == "total") & (pl.col("vantage") != "metric")).by(keys)
    groups, number = numbered(timed.totals.select("vantage", *keys))
    words = timed.totals.select("vantage", *keys)[groups].rows()
    parts = _counted(timed)
    found = []
    for group in sorted(range(len(words)), key=lambda group: str(words[group])):
        vantage, hop, route = (*words[group], None)[:3]
        for low, outcomes in _piles([parts[part] for part in np.flatnonzero(number == group)]):
            edges = histogram.lower_edge(low, rollup.scale), histogram.upper_edge(low + 1, rollup.scale)
            value_s = _as_set(float(edges[0]), float(edges[1]))
            found.append(Pile(str(vantage), str(hop), route, value_s, float(edges[0]), float(edges[1]), outcomes))
    return tuple(found)


class _Part(NamedTuple):
    """Calls of one outcome: the buckets that they are in, and how many of them."""

    outcome: str
    buckets: NDArray[np.int64]
    calls: NDArray[np.int64]


def _counted(rollup: Rollup) -> list[_Part]:
    """The calls of each group whose duration is known."""
    index, count = rollup.counts["index"], rollup.counts["count"].to_numpy()
    seen, bucket = index.is_not_null().to_numpy(), index.fill_null(0).to_numpy().astype(np.int64)
    ends = np.cumsum(rollup.runs.rows)
    rows = (np.arange(end - length, end) for end, length in zip(ends, rollup.runs.rows, strict=True))
    known = (each[seen[each]] for each in rows)
    return [_Part(outcome, bucket[each], count[each]) for outcome, each in zip(rollup.totals["outcome"], known, strict=True)]


def _piles(parts: Sequence[_Part]) -> Iterator[tuple[int, dict[str, int]]]:
    """The lower bucket of each pile of the parts of a group and its calls by outcome; at most one an outcome."""
    known = [part for part in parts if len(part.buckets)]
    if not known:
        return
    first = min(int(part.buckets[0]) for part in known)
    size = max(int(part.buckets[-1]) for part in known) - first + 1
    counts: dict[str, NDArray[np.float64]] = {}
    for part in known:
        counts.setdefault(part.outcome, np.zeros(size))
        counts[part.outcome] += np.bincount(part.buckets - first, part.calls, size)
    every: NDArray[np.float64] = np.sum(list(counts.values()), axis=0)
    piles: dict[int, dict[str, int]] = {}
    for outcome in ("ok", "error"):
        at = _pile(counts.get(outcome, np.zeros(size)), every)
        if at is not None and _is_deadline(outcome, at + first):
            piles.setdefault(at + first, {})[outcome] = int(counts[outcome][at : at + 2].sum())
    yield from sorted(piles.items())


def _pile(counts: NDArray[np.float64], every: NDArray[np.float64]) -> int | None:
    """The first of the two buckets that hold a pile of `counts` at the end of `every` call of the group; None for none."""
    pairs = counts + np.append(counts[1:], 0.0)
    at = int(pairs.argmax())
    calls = pairs[at]
    if at and counts[at - 1] > counts[at + 1 : at + 2].sum():
        at -= 1
    beyond = every[at + 2 :].sum()
    if not FEWEST <= calls <= LARGEST_SHARE * every.sum() or beyond > BEYOND_RATIO * calls:
        return None
    around = np.concatenate([counts[max(at - AROUND, 0) : at], counts[at + 2 : at + 2 + AROUND]])
    # The binomial chance of so many and more, of all that are about.
    surely = betainc(calls, around.sum() + 1.0, 2.0 / (2.0 + 2.0 * AROUND)) < ERR
    return at if surely and calls >= STANDS_OUT * around.max(initial=0.0) else None


def _is_deadline(outcome: str, index: int) -> bool:
    low_s, high_s = float(histogram.lower_edge(index)), float(histogram.upper_edge(index + 1))
    return _round_in(low_s, high_s) is not None if outcome == "ok" else low_s >= SHORTEST_ERROR_S


def _round_in(low_s: float, high_s: float) -> float | None:
    """The round value that a timer whose endings lie there would have."""
    return next((float(value) for value in ROUND_S if low_s * (1.0 - LATE_RATIO / 100) <= value < high_s), None)


def _as_set(low_s: float, high_s: float) -> float:
    return _round_in(low_s, high_s) or float(f"{(low_s + high_s) / 2:.2g}")


def cut_rollup(rollup: Rollup, piles: tuple[Pile, ...]) -> Rollup:
    """The rollup with the calls of piles counted as cut in phase `total`; their outcome stays what it was said to be.

    What is split has no exact sums and extremes any more.
    """
    if not piles:
        return rollup
    held = _in_a_pile(piles, routed="route" in rollup.keys)
    told = rollup.cells.with_columns(held.alias("held"))
    cells = told.with_columns(pl.col("event") & ~pl.col("held"), pl.col("censored") | pl.col("held"))
    names = place(rollup.keys)
    split = told.filter("held").select(names).unique()
    whole = rollup.totals.join(split, on=names, how="anti", nulls_equal=True)
    unknown = [pl.lit(None, dtype=pl.Float64).alias(name) for name in EXTREMES]
    marked = told.select(names).join(
        split.with_columns(split=True), on=names, how="left", nulls_equal=True, maintain_order="left"
    )
    parts = cells.filter(marked["split"].is_not_null())
    totals = pl.concat([whole.select(*names, *TOTAL_VALUES), parts.select(*names, *CELL_VALUES, *unknown)])
    return from_cells(cells.drop("held"), totals, rollup.keys, rollup.bucket)


def _in_a_pile(piles: tuple[Pile, ...], *, routed: bool) -> pl.Expr:
    """Of cells of a rollup."""
    lows = [int(histogram.index_of([pile.high_s])[0]) - 1 for pile in piles]
    return pl.any_horizontal(
        (pl.col("phase") == "total")
        & (pl.col("hop") == pile.hop)
        & (pl.col("vantage") == pile.vantage)
        & (pl.col("route").eq_missing(pl.lit(pile.route)) if routed else pl.lit(value=True))
        & pl.col("outcome").cast(pl.String).is_in(list(pile.outcomes))
        & pl.col("index").is_in([low, low + 1])
        for pile, low in zip(piles, lows, strict=True)
    )


def cut_calls(calls: pl.LazyFrame, piles: tuple[Pile, ...]) -> pl.LazyFrame:
    """The calls with the outcome `timeout` where they are in a pile."""
    if not piles:
        return calls
    held = pl.any_horizontal(
        (pl.col("hop") == pile.hop)
        & (pl.col("vantage") == pile.vantage)
        & pl.col("route").eq_missing(pl.lit(pile.route, dtype=pl.String))
        & pl.col("outcome").is_in(list(pile.outcomes))
        & (pl.col("duration_s") > pile.low_s)
        & (pl.col("duration_s") <= pile.high_s)
        for pile in piles
    )
    return calls.with_columns(pl.when(held).then(pl.lit("timeout")).otherwise("outcome").alias("outcome"))


def hidden_cuts(calls: pl.LazyFrame) -> tuple[pl.LazyFrame, tuple[Pile, ...]]:
    """The calls (rows of `telemetry.schema`), those at a hidden deadline with the outcome `timeout`; and the piles."""
    piles = find_piles(roll_up(calls, keys=("hop", "route"), bucket=None, phases=("total",), extremes=False))
    return cut_calls(calls, piles), piles
