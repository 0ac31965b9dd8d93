"""What a run of a scenario was like: what users got, what was refused, and how long first tokens took."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import polars as pl
from rich.console import Console

from meshslo.analysis.interval import wilson
from meshslo.analysis.quantile import Quantile
from meshslo.analysis.survival import LifeTable
from meshslo.analysis.zones import zone_pairs
from meshslo.dashboards import tables
from meshslo.dashboards.text import seconds_text, share_text
from meshslo.demo.load import Seen


@dataclass(frozen=True)
class Figures:
    """One run: whole answers and others as users saw them, refusals and waits as spans tell them."""

    name: str
    requests: int
    answered: int
    failed: int
    refused: int
    refused_p95_s: float | None
    first_token_p95: Quantile
    by_pod: Mapping[str, int]
    by_version: Mapping[str, int]
    by_provider: Mapping[str, int]
    by_zones: Mapping[str, int]
    lag_s: float

    @property
    def failed_ratio(self) -> float:
        """Share of the requests that a callee failed; those refused at once are none of them."""
        return self.failed / max(self.requests, 1)

    def to_dict(self) -> dict[str, Any]:
        """The run as `scenario.json` has it."""
        return asdict(self)


def measure(name: str, seen: Sequence[Seen], calls: pl.DataFrame, lag_s: float) -> Figures:
    """The figures of a run from its users and from its calls, rows of all vantages."""
    served, turned_away = calls.filter(vantage="server"), calls.filter(pl.col("vantage") != "server", outcome="rejected")
    # A proxy tells of a request it refused twice: as its listener saw it, and as its router did.
    refused = turned_away.sort("duration_s").unique("trace_id", keep="last")
    waits = served.filter(outcome="ok")["first_token_s"].drop_nulls()
    whole = sum(one.ending == "ok" for one in seen)
    return Figures(
        name=name,
        requests=len(seen),
        answered=whole,
        failed=len(seen) - whole - refused.height,
        refused=refused.height,
        refused_p95_s=None if refused.is_empty() else float(refused["duration_s"].quantile(0.95)),  # type: ignore[arg-type]
        first_token_p95=LifeTable.from_durations(waits.to_numpy()).quantile(0.95),
        by_pod=_counted(served, "pod"),
        by_version=_counted(served, "version"),
        by_provider=_counted(served.filter(pl.col("provider").is_not_null()), "provider"),
        by_zones=_counted(zone_pairs(calls.lazy()).select(way=pl.concat_str("from_zone", pl.lit(" to "), "to_zone")), "way"),
        lag_s=lag_s,
    )


def _counted(calls: pl.DataFrame, column: str) -> dict[str, int]:
    return {str(name): int(number) for name, number in calls.group_by(column).len().sort(column).iter_rows()}


def show(runs: Sequence[Figures], console: Console) -> None:
    """Print the runs beside each other."""
    table = tables.table(console)
    table.add_column("")
    for run in runs:
        table.add_column(run.name, justify="right")
    rows = {
        "requests": [f"{run.requests:,}" for run in runs],
        "whole answers": [_share(run.answered, run.requests) for run in runs],
        "failed": [_share(run.failed, run.requests) for run in runs],
        "refused at once": [_refused(run) for run in runs],
        "first token, p95": [_wait(run.first_token_p95) for run in runs],
        "calls by pod": [_names(run.by_pod) for run in runs],
        "calls by version": [_names(run.by_version) for run in runs],
        "calls by provider": [_names(run.by_provider) for run in runs],
        "calls by zone": [_names(run.by_zones) for run in runs],
    }
    for name, cells in rows.items():
        if any(cells):
            table.add_row(name, *cells)
    tables.show(console, table)


def _share(part: int, whole: int) -> str:
    within = wilson(part, whole)
    return f"{part:,} ({share_text(part, whole)}, {within.low:.1%} to {within.high:.1%})"


def _refused(run: Figures) -> str:
    if run.refused_p95_s is None:
        return "0"
    return f"{_share(run.refused, run.requests)}, p95 {seconds_text(run.refused_p95_s)}"


def _wait(found: Quantile) -> str:
    if found.status != "ok":
        return "too few"
    return f"{seconds_text(found.value_s)} ({seconds_text(found.low_s)} to {seconds_text(found.high_s)})"


def _names(counted: Mapping[str, int]) -> str:
    return "\n".join(f"{name} {number:,}" for name, number in counted.items())
