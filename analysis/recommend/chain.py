"""How hops depend on each other, from traces: which calls a call makes, and what it spends beside each of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.survival import LifeTable
from meshslo.telemetry.vocabulary import VANTAGES

MAX_ROWS: Final = 2_000_000
"""Calls that are joined by trace at most; beyond, an even share of the traces is taken."""

FIRST_BACK_OFF_S: Final = 0.025
"""Envoy's base interval. The k-th delay is at most (2 ** k - 1) times it. Source: Envoy, RetryPolicy.retry_back_off."""

HopRoute = tuple[str, str | None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Link:
    """A call of `parent` makes a call of `child`: how often that was seen, and what the parent took beside it.

    own_s: the parent's total minus the child's, trace by trace, by the model of the parent's call. attempts: how often the
    parent's own code tries (its SDK, as client rows show it); what a proxy repeats is inside the child's total already.
    """

    parent: HopRoute
    child: HopRoute
    own_s: Mapping[str | None, Floats]
    attempts: int

    def needs_s(self, child_s: float, model: str | None, q: float, confidence: float) -> tuple[float, float]:
        """What the parent's total must be at least, and how much of that is its own: child x attempts + back-off + own.

        Own time is the upper bound of its `q` quantile where there is one, else the longest seen. It is that of `model`'s
        calls; of all where `model` is None or was not seen.
        """
        own_s = self.own_s.get(model) if model is not None else None
        table = LifeTable.from_durations(np.concatenate(list(self.own_s.values())) if own_s is None else own_s)
        own = table.quantile(q, confidence).upper_s or table.longest_s
        return child_s * self.attempts + back_off_s(self.attempts - 1) + own, own


def back_off_s(retries: int) -> float:
    """The most that the waits before `retries` repetitions take together.

    >>> back_off_s(0), back_off_s(2)
    (0.0, 0.1)
    """
    return sum(((2.0**k - 1.0) * FIRST_BACK_OFF_S for k in range(1, retries + 1)), start=0.0)


def find_links(calls: pl.LazyFrame) -> list[Link]:
    """The links that traces show, by parent and child, in order. A hop's callee is the next hop's caller."""
    names = calls.select("caller", "callee").unique().collect()
    makes, is_made = (
        pl.col("callee").is_in(names["caller"].unique().implode()),
        pl.col("caller").is_in(names["callee"].unique().implode()),
    )
    seen = _one_row_a_call(calls, makes | is_made).collect().lazy()
    joined = (
        seen.filter(makes)
        .join(seen.filter(is_made), on="trace_id", suffix="_child")
        .filter((pl.col("callee") == pl.col("caller_child")) & (pl.col("hop") != pl.col("hop_child")))
    )
    ends = ["hop", "route", "hop_child", "route_child"]
    # Clocks of two hosts, and calls in parallel, can make it negative; then the parent spent nothing beside the child.
    own_s = (pl.col("spent_s") - pl.col("spent_s_child")).clip(0.0).alias("own_s")
    by_model = joined.group_by(*ends, "model").agg(own_s, pl.col("attempts_child").max()).collect()
    links = by_model.group_by(ends).agg("model", "own_s", pl.col("attempts_child").max())
    rows = sorted(links.iter_rows(), key=lambda row: tuple(name or "" for name in row[:4]))
    return [
        Link((hop, route), (child, child_route), dict(zip(models, map(np.asarray, own), strict=True)), attempts)
        for hop, route, child, child_route, models, own, attempts in rows
    ]


def _one_row_a_call(calls: pl.LazyFrame, linked: pl.Expr) -> pl.LazyFrame:
    """For each trace, hop and route that is `linked`, what its longest call took, from the outermost vantage that timed it."""
    timed = calls.filter(pl.col("duration_s").is_not_null() & pl.col("trace_id").is_not_null())
    rank = pl.col("vantage").replace_strict({name: n for n, name in enumerate(VANTAGES)}, return_dtype=pl.Int8)
    rows = int(timed.select(pl.len()).collect().item())
    if rows > MAX_ROWS:
        timed = timed.filter(pl.col("trace_id").hash(0) % (rows // MAX_ROWS + 1) == 0)
    outermost = timed.group_by("hop").agg(rank.min().alias("rank"))
    chosen = timed.filter(linked).with_columns(rank.alias("rank")).join(outermost, on=["hop", "rank"], how="semi")
    client = pl.col("attempt").filter(pl.col("vantage") == "client").max().fill_null(1)
    return chosen.group_by("trace_id", "hop", "route", "caller", "callee").agg(
        pl.col("model").drop_nulls().first(),
        # The longest of several calls: the others, and failed attempts, are time the parent spends beside it.
        pl.col("duration_s").max().alias("spent_s"),
        client.clip(1).cast(pl.Int64).alias("attempts"),
    )


def deepest_first(links: list[Link], routes: list[HopRoute]) -> Iterator[HopRoute]:
    """`routes` so that a child comes before its parents; each once, also where services call each other in a circle."""
    below: dict[HopRoute, list[HopRoute]] = {}
    for link in links:
        below.setdefault(link.parent, []).append(link.child)
    done: set[HopRoute] = set()

    def visit(node: HopRoute, above: frozenset[HopRoute]) -> Iterator[HopRoute]:
        if node in done or node in above:
            return
        for child in below.get(node, []):
            yield from visit(child, above | {node})
        if node not in done:
            done.add(node)
            yield node

    for route in routes:
        yield from visit(route, frozenset())


def paths(hops: list[str]) -> list[tuple[str, ...]]:
    """Every way through the hops from an entry to a hop that calls nobody, by names alone; circles are cut.

    >>> paths(["ingress>a", "a>b", "a>c", "c>d"])
    [('ingress>a', 'a>b'), ('ingress>a', 'a>c', 'c>d')]
    """
    called: Mapping[str, list[str]] = {hop: [o for o in hops if o.partition(">")[0] == hop.partition(">")[2]] for hop in hops}
    entries = [hop for hop in hops if not any(hop in below for below in called.values())] or hops[:1]

    def walk(way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        following = [hop for hop in called[way[-1]] if hop not in way]
        if not following:
            yield way
        for hop in following:
            yield from walk((*way, hop))

    return [way for entry in entries for way in walk((entry,))]


def choose_layers(ways: list[tuple[str, ...]], failing: set[str]) -> dict[str, str]:
    """For each hop, the one that repeats on its ways through the chain: itself, one below, or one above.

    On each way that is the lowest hop of `failing` (those with failures that are safe to repeat), else the last. A hop above
    one that repeats never does, whichever way it was chosen on: two layers multiply.

    >>> choose_layers([("in>a", "a>b"), ("in>a", "a>c", "c>d")], {"in>a", "a>c"})
    {'in>a': 'a>b', 'a>b': 'a>b', 'a>c': 'a>c', 'c>d': 'a>c'}
    """
    lowest = {next((hop for hop in reversed(way) if hop in failing), way[-1]) for way in ways}
    above = {hop for way in ways for n, hop in enumerate(way) if lowest & set(way[n + 1 :])}
    chosen = lowest - above
    chosen |= {way[-1] for way in ways if not chosen & set(way)}
    layers: dict[str, str] = {}
    for way in ways:
        repeats = next(hop for hop in reversed(way) if hop in chosen)
        for hop in way:
            # A hop that is on several ways does not repeat as soon as one of them repeats below it.
            if layers.get(hop, hop) == hop:
                layers[hop] = repeats
    return layers
