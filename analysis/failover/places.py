"""Which place answered each call of a hop: a cluster, or a provider, and which endpoint of it.

Clusters are named by the callee's side. A provider is named by whoever saw the call outermost; where each provider is a callee
of its own, the config says which two stand in for each other.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import polars as pl

from meshslo.analysis.ejection.answers import CALLEE_SIDE, NEEDED
from meshslo.telemetry.vocabulary import VANTAGES, hop

By = Literal["cluster", "provider"]

CALLER_SIDE: Final = ("client", "proxy_out")

UNREACHED: Final = "UF"
"""Envoy's response flag of a connect that failed."""

COLUMNS: Final = (*NEEDED, "output_tokens", "weight", "place")

_READ: Final = (
    *(name for name in COLUMNS if name != "place"),
    *("vantage", "callee", "cluster", "provider", "peer", "response_flags", "trace_id", "attempt"),
)


@dataclass(frozen=True, eq=False)
class Places:
    """Where the calls of a hop were answered. `names`: the preferred place, and the other one where there is or should be one.

    calls: `COLUMNS` of the calls of these places, as one vantage saw them; `pod` is the endpoint, as PLACE/POD or PLACE/HOST.
    unplaced: failed calls of callers that no side of any callee saw, so that nobody knows which place was meant.
    """

    by: By
    names: tuple[str, ...]
    calls: pl.DataFrame
    unplaced: int = 0

    def of(self, name: str) -> pl.DataFrame:
        """The calls of one place."""
        return self.calls.filter(pl.col("place") == name)

    def endpoints(self, name: str) -> list[str]:
        """The endpoints of one place, in order."""
        return self.of(name)["pod"].unique().sort().to_list()


def placed_calls(calls: pl.LazyFrame, wanted: Collection[str]) -> dict[str, pl.DataFrame]:
    """What `find_places` needs of the calls of each hop where one names a place or whose callee is one of those `wanted`.

    Read at once: many hops asked one by one would go through all calls as often.
    """
    named = pl.col("provider").is_not_null() | pl.col("cluster").is_not_null() | pl.col("callee").is_in(list(wanted))
    hops = calls.filter(named).select(pl.col("hop").unique()).collect()["hop"]
    rows = calls.filter(pl.col("hop").is_in(hops.implode())).select(_READ).collect()
    return {str(hop): part for (hop,), part in rows.partition_by("hop", as_dict=True, maintain_order=True).items()}


def find_places(calls: pl.LazyFrame, caller: str, callee: str, wanted: Sequence[str] = ()) -> Places | None:
    """The places of a hop's calls: the two `wanted`, else the two that answered most; None where no call names any of them."""
    here = calls.filter(pl.col("hop") == hop(caller, callee))
    candidates: list[tuple[By, pl.LazyFrame]] = [("provider", _by_provider(here)), ("cluster", _by_cluster(here))]
    if callee in wanted:
        hops = [hop(caller, name) for name in wanted]
        candidates.append(("provider", _of_callers(calls.filter(pl.col("hop").is_in(hops)), pl.col("callee"))))
    found = [(by, rows.collect()) for by, rows in candidates]
    named = [(by, rows, names) for by, rows in found if (names := _names(rows, wanted))]
    if not named:
        return None
    # Of equally many the first: a provider's name says more of a model than its cluster's.
    by, rows, names = max(named, key=lambda each: len(set(each[1]["place"]) & set(each[2])))
    unplaced = _unplaced(here) if by == "cluster" else 0
    return Places(by, names, rows.filter(pl.col("place").is_in(names)), unplaced)


def _names(rows: pl.DataFrame, wanted: Sequence[str]) -> tuple[str, ...]:
    """The preferred place and the other; none where the calls name no such place.

    Where nobody says which, the other one answers for a model of the preferred one: another model's provider is no stand-in.
    """
    counted = rows.group_by("place").agg(pl.len(), pl.col("model").unique()).sort("len", "place", descending=[True, False])
    models = {str(place): set(names) for place, _, names in counted.iter_rows()}
    if wanted:
        return tuple(wanted) if set(wanted) & set(models) else ()
    first, *others = models or [""]
    alike = [name for name in others if models[name] & models[first]]
    return (first, *alike[:1]) if models else ()


def _by_cluster(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls as the callee's side saw them, from the vantage that names most endpoints."""
    named = calls.filter(pl.col("vantage").is_in(CALLEE_SIDE) & pl.col("cluster").is_not_null())
    pods = pl.struct("cluster", "pod").n_unique().over("vantage")
    most = pl.col("vantage").sort_by("pods", "vantage", descending=True).first()
    best = named.with_columns(pods=pods).filter(pl.col("vantage") == most)
    return _shaped(best, pl.col("cluster"), pl.col("pod"))


def _by_provider(calls: pl.LazyFrame) -> pl.LazyFrame:
    """Calls that name a provider, from the outermost vantage that names any."""
    return _of_callers(calls.filter(pl.col("provider").is_not_null()), pl.col("provider"))


def _of_callers(named: pl.LazyFrame, place: pl.Expr) -> pl.LazyFrame:
    rank = pl.col("vantage").cast(pl.Enum(VANTAGES)).to_physical()
    outermost = named.filter(rank == rank.min().over("hop"))
    endpoint = pl.when(pl.col("vantage").is_in(CALLER_SIDE)).then("peer").otherwise("pod")
    return _shaped(outermost, place, endpoint)


def _shaped(rows: pl.LazyFrame, place: pl.Expr, endpoint: pl.Expr) -> pl.LazyFrame:
    """`COLUMNS` in order of time. A call that reached nobody counts against its endpoint, as a proxy counts it."""
    flags, no_flag = pl.col("response_flags").fill_null("-").str.split(","), pl.col("response_flags").fill_null("-") == "-"
    unreached = flags.list.contains(UNREACHED) | (no_flag & pl.col("status_code").is_null())
    lost = (pl.col("outcome") == "rejected") & unreached
    named = pl.concat_str(place, pl.lit("/"), endpoint)
    return (
        rows.with_columns(
            place=place, pod=pl.coalesce(named, place), outcome=pl.when(lost).then(pl.lit("error")).otherwise("outcome")
        )
        .select(COLUMNS)
        .sort("start", "pod", "duration_s")
    )


def _unplaced(calls: pl.LazyFrame) -> int:
    """Failed calls, as the caller's side saw them, that no callee's side saw."""
    key = ("trace_id", "attempt")
    callers = calls.filter(pl.col("vantage").is_in(CALLER_SIDE) & pl.col("outcome").is_in(["error", "rejected", "timeout"]))
    lost = callers.join(calls.filter(pl.col("vantage").is_in(CALLEE_SIDE)), on=key, how="anti")
    return int(lost.select(pl.struct(key).n_unique()).collect().item())
