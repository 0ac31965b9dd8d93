"""From answers of the library to the frames that figures draw and tables show. Pure."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis import histogram
from meshslo.analysis.boundary import WORDS as SIDES
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend import Observed, Recommendation, Recommendations
from meshslo.analysis.rollup import Rollup
from meshslo.analysis.security import Security
from meshslo.analysis.slo.standing import Standing
from meshslo.analysis.survival import LifeTable
from meshslo.dashboards.figures import Limit
from meshslo.dashboards.figures.theme import NOT_SET
from meshslo.dashboards.standings import name_of, status_text
from meshslo.dashboards.text import quantile_text, seconds_text, share_text
from meshslo.telemetry.vocabulary import OUTCOMES, Phase

POINTS: Final = 120
"""Moments at which a curve is drawn."""

HEAT_SCALE: Final = 2
"""Four duration buckets for each doubling: a picture shows no finer ones."""

GROUP: Final = "group"


def labelled(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The frame with the column `group`: the words of `keys` that differ within it, else of the last of them."""
    apart = [key for key in keys if frame[key].n_unique() > 1] or list(keys[-1:])
    words = [pl.col(key).cast(pl.String).fill_null(NOT_SET) for key in apart]
    return frame.with_columns(pl.concat_str(words, separator="  ").alias(GROUP))


def largest(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """The rows of the `most` groups with the most calls."""
    sizes = frame.group_by(GROUP).agg(pl.col("calls").max()).sort("calls", GROUP, descending=[True, False])
    return frame.filter(pl.col(GROUP).is_in(sizes[GROUP].head(most).to_list()))


def in_order(frame: pl.DataFrame, groups: Sequence[str]) -> pl.DataFrame:
    """The rows of `groups` in their order, so that a group has one colour in every picture of a page."""
    place = pl.col(GROUP).replace_strict(list(groups), range(len(groups)), return_dtype=pl.Int64)
    return frame.sort(place, maintain_order=True)


def quantile_table(report: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """One row a group: the keys, who saw it, calls, the share that ended well, each quantile as text."""
    shares = report["q"].unique().sort().to_list()
    rows = []
    for _, group in report.group_by([*keys, "vantage"], maintain_order=True):
        first = group.row(0, named=True)
        told = {f"p{100 * row['q']:g}": quantile_text(row) for row in group.iter_rows(named=True)}
        rows.append(
            {key: first[key] for key in keys}
            | {"seen by": str(first["vantage"]), "calls": first["calls"], "ok": share_text(first["ok"], first["calls"])}
            | told
        )
    schema = dict.fromkeys([*keys, "seen by"], pl.String) | {"calls": pl.Int64, "ok": pl.String}
    return pl.DataFrame(rows, schema=schema | {f"p{100 * share:g}": pl.String for share in shares})


def outcome_counts(report: pl.DataFrame) -> pl.DataFrame:
    """One row a group: calls and the number of each outcome."""
    return report.unique([GROUP], keep="first", maintain_order=True).select(GROUP, "calls", *OUTCOMES)


def cost_table(costs: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """One row a group of `analysis.streams.stream_costs`: the keys, who saw it, streams, and what was made and held in vain."""
    tokens = [f"{row['tokens_in_vain']:,} of {row['tokens']:,}" for row in costs.iter_rows(named=True)]
    return costs.select(
        *keys,
        pl.col("vantage").alias("seen by"),
        pl.col("calls").alias("streams"),
        pl.col("timeout").alias("cut by a timer"),
        pl.col("cancelled").alias("caller left"),
        pl.Series("tokens in vain", tokens),
        pl.Series("held in vain", [seconds_text(held) for held in costs["held_in_vain_s"]]),
    )


def hop_rows(report: pl.DataFrame) -> pl.DataFrame:
    """One row a hop for the call graph: hop, caller, callee, calls, ok, label with the highest quantile asked for."""
    q = report["q"].max()
    rows = report.filter(pl.col("q") == q)
    labels = [f"{row['calls']:,} · p{100 * row['q']:g} {_short(row)}" for row in rows.iter_rows(named=True)]
    pair = pl.col("hop").str.splitn(">", 2).struct
    return rows.select("hop", pair[0].alias("caller"), pair[1].alias("callee"), "calls", "ok", pl.Series("label", labels))


WORST_FIRST: Final = ("missed", "undecided", "met", "no_data")
"""How an objective may stand."""


def promised_rows(hops: pl.DataFrame, standings: Sequence[Standing]) -> pl.DataFrame:
    """`hop_rows` with how each hop's objectives stand: status (the worst; null where there is none), promises (in words)."""
    told = sorted(standings, key=lambda each: WORST_FIRST.index(each.status))
    of = {hop: [each for each in told if each.objective.hop == hop] for hop in hops["hop"]}
    words = [[f"{name_of(each)}: {status_text(each)}" for each in of[hop]] for hop in hops["hop"]]
    worst = [of[hop][0].status if of[hop] else None for hop in hops["hop"]]
    return hops.with_columns(pl.Series("status", worst, pl.String), pl.Series("promises", words, pl.List(pl.String)))


def _short(row: dict[str, object]) -> str:
    return "?" if row["value_s"] is None else quantile_text(row).partition(" (")[0]


def heat_cells(rollup: Rollup) -> pl.DataFrame:
    """Calls of a rollup of one phase in time buckets, by time and duration: start, low_s, high_s, calls."""
    coarse = rollup.downscale(HEAT_SCALE)
    timed = coarse.cells.filter(pl.col("index").is_not_null() & (pl.col("event") | pl.col("censored")))
    cells = timed.group_by("start", "index").agg(pl.col("count").sum().cast(pl.Int64).alias("calls")).sort("start", "index")
    index = cells["index"].to_numpy().astype(np.int64)
    low_s, high_s = histogram.lower_edge(index, HEAT_SCALE), histogram.upper_edge(index, HEAT_SCALE)
    return cells.select("start", pl.Series("low_s", low_s), pl.Series("high_s", high_s), "calls")


def curves(rollup: Rollup, keys: Sequence[str], groups: Sequence[str]) -> pl.DataFrame:
    """The share of calls still running after each moment, of those groups of a rollup of one phase that `groups` names."""
    words = labelled(rollup.by(keys).totals, keys)[GROUP]
    parts = []
    for group in groups:
        chosen = rollup.by(keys).where(pl.lit(words == group))
        timed = chosen.totals.filter(pl.col("event") | pl.col("censored"))
        longest_s = timed["max_s"].max()
        table = LifeTable.from_cells(
            chosen.cells, scale=chosen.scale, longest_s=longest_s if isinstance(longest_s, float) else None
        )
        parts.append(curve(table, group))
    return pl.concat(parts) if parts else curve(LifeTable.from_durations([]), "")


def curve(table: LifeTable, group: str, upto_s: float = 0.0) -> pl.DataFrame:
    """group, t_s, share, low, high of a life table, from where calls begin to end to the longest seen, or `upto_s`."""
    empty = {GROUP: pl.String, "t_s": pl.Float64, "share": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    if not table.calls:
        return pl.DataFrame(schema=empty)
    begin_s = max(float(histogram.lower_edge(int(table.index[0]), table.scale)), table.longest_s / 1000)
    end_s = max(table.longest_s, upto_s, begin_s * 1.01)
    moments = np.geomspace(begin_s, end_s, POINTS).tolist()
    shares = [table.exceedance(moment) for moment in moments]
    rows = [(group, at, share.estimate, share.low, share.high) for at, share in zip(moments, shares, strict=True)]
    return pl.DataFrame(rows, schema=empty, orient="row")


def limits(found: Recommendations, phase: Phase) -> list[Limit]:
    """The timeouts on a phase that are deployed now and proposed: each value once, with the models that it is for."""
    drawn: dict[tuple[bool, float], list[str | None]] = {}
    for item in found.items:
        if SETTINGS[item.setting].phase == phase:
            for limit in item_limits(item):
                drawn.setdefault((limit.proposed, limit.value_s), []).append(item.target.model)
    return [Limit(_for_models(proposed, models), value_s, proposed) for (proposed, value_s), models in sorted(drawn.items())]


def _for_models(proposed: bool, models: Sequence[str | None]) -> str:
    """What a timeout is called: for which models, unless it is for all."""
    word = "proposed" if proposed else "now"
    return word if None in models else f"{word}, {', '.join(sorted({model for model in models if model}))}"


def item_limits(item: Recommendation) -> list[Limit]:
    """The value deployed now and the one proposed, of a timeout."""
    now = [] if item.current is None else [Limit("now", float(item.current.value))]
    return now if item.proposed is None else [*now, Limit("proposed", float(item.proposed.value), proposed=True)]


def table_of(observed: Observed, item: Recommendation) -> LifeTable:
    """The life table that a timeout was learned from, its calls counting for fewer where they come in bursts."""
    phase = SETTINGS[item.setting].phase or "total"
    tables = observed.silences if phase == "max_gap" else observed.tables(phase)
    return tables.careful(item.target.hop, item.target.route, item.target.model)


_EDGE: Final = pl.Schema(
    dict.fromkeys(("hop", "callee is", "caller proved to be", "callee proved to be", "seen by"), pl.String())
    | dict.fromkeys(("calls", "mutual TLS", "plain", "not told", "refused"), pl.Int64())
)


def edge_table(answer: Security) -> pl.DataFrame:
    """One row a hop and pair of identities: the callee's side, both identities, calls by connection, who saw them."""
    rows = [
        {
            "hop": f"{edge.caller}>{edge.callee}",
            "callee is": SIDES[edge.callee_side],
            "caller proved to be": _identity(edge.caller_identity),
            "callee proved to be": _identity(edge.callee_identity),
            "seen by": edge.seen_by,
            "calls": edge.calls,
            "mutual TLS": edge.mutual,
            "plain": edge.plain,
            "not told": edge.untold,
            "refused": edge.refused,
        }
        for edge in answer.edges
    ]
    return pl.DataFrame(rows, schema=_EDGE)


def _identity(name: str | None) -> str:
    return "-" if name is None else name.removeprefix("spiffe://")


_HOST: Final = pl.Schema(
    dict.fromkeys(("caller", "host", "models"), pl.String()) | {"calls": pl.Int64(), "approved": pl.String()}
)


def host_table(answer: Security) -> pl.DataFrame:
    """One row a caller and host outside the mesh: models, calls, whether it is approved."""
    words = {True: "yes", False: "NO", None: "no list"}
    rows = [(host.caller, host.host, ", ".join(host.models) or "-", host.calls, words[host.approved]) for host in answer.hosts]
    return pl.DataFrame(rows, schema=_HOST, orient="row")


def security_rows(answer: Security) -> pl.DataFrame:
    """One row a hop for its picture: hop, caller, callee, calls, mutual, plain, label with the plain calls."""
    summed = answer.frame.group_by("caller", "callee").agg(pl.col("calls", "mutual", "plain").sum()).sort("caller", "callee")
    return summed.with_columns(
        pl.format("{}>{}", "caller", "callee").alias("hop"),
        pl.Series("label", [f"{n:,} plain" if n else "" for n in summed["plain"]], dtype=pl.String),
    )
