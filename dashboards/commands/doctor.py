"""`meshslo doctor`: what the data can bear."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshslo.dashboards.console import DEFAULT_STORE, Output, OutputOption, StoreOption, out

from . import Command

if TYPE_CHECKING:
    from rich.table import Table

    from meshslo.analysis.doctor import Diagnosis


FailOn = Literal["note", "warning", "error", "never"]
FailOnOption = Annotated[FailOn, typer.Option("--fail-on", help="Exit 1 on findings of this severity or a worse one.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="Only calls from then on: 24h, 7d, or 2026-11-02T09:00:00Z.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Only calls before then, in the same forms.")]


def doctor(
    store: StoreOption = DEFAULT_STORE,
    since: SinceOption = None,
    until: UntilOption = None,
    fail_on: FailOnOption = "warning",
    output: OutputOption = Output.table,
) -> None:
    """Tell what the data can bear: who saw each hop, what is set, clocks, sampling, vantages that contradict each other.

    Example: meshslo doctor --store ./meshslo-store --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.analysis.doctor import examine
    from meshslo.dashboards.moments import parse_moment

    now = datetime.now(UTC)
    start, end = (None if text is None else parse_moment(text, now) for text in (since, until))
    calls = open_store(store)
    rollup = calls.rollup(by=("hop",), bucket=None, phases=("total",), since=start, until=end)
    diagnosis = examine(calls.scan(start, end), rollup)
    if output is Output.json:
        out().print_json(data=diagnosis.to_json())
    else:
        _print(diagnosis)
    if fail_on != "never" and diagnosis.at_least(fail_on):
        raise typer.Exit(1)


def _print(diagnosis: "Diagnosis") -> None:
    console = out()
    if diagnosis.coverage.calls:
        console.print(_hops(diagnosis))
    if any(item.verdict != "unknown" for item in diagnosis.comparisons):
        console.print(_comparisons(diagnosis))
    for finding in diagnosis.findings:
        console.print(f"{finding.severity} {finding.code} {finding.subject}: {finding.message}", markup=False, soft_wrap=True)
        console.print(f"    {finding.remedy}", markup=False, soft_wrap=True)
    if not diagnosis.findings:
        console.print("Nothing to complain of.")


def _hops(diagnosis: "Diagnosis") -> "Table":
    """Calls of each hop and vantage, and the share of them on which a column is set."""
    from rich.table import Table

    table = Table(title="Who saw what: share of calls (of streams that ended well, for the last two) with ... known")
    for name in ("hop", "vantage", "calls", "tenant", "model", "caller", "weight", "first token", "max gap"):
        table.add_column(name, justify="left" if name in ("hop", "vantage") else "right")
    for row in diagnosis.coverage.hops.iter_rows(named=True):
        shares = [_share(row[name], row["calls"]) for name in ("tenant", "model", "caller", "weight")]
        stream = [_share(row[name], row["streams_ok"]) for name in ("first_token", "max_gap")]
        table.add_row(row["hop"], row["vantage"], f"{row['calls']:,}", *shares, *stream)
    return table


def _comparisons(diagnosis: "Diagnosis") -> "Table":
    """Quantiles of each hop at two vantages."""
    from rich.table import Table

    table = Table(title="Total duration of one hop at two vantages")
    for name in ("hop", "quantile", "outer", "inner", "verdict"):
        table.add_column(name)
    for item in diagnosis.comparisons:
        if item.verdict != "unknown":
            sides = [
                f"{name} {_seconds(value)} ({_seconds(low)} to {_seconds(high)})"
                for name, value, low, high in (
                    (item.outer, item.outer_s, item.outer_low_s, item.outer_high_s),
                    (item.inner, item.inner_s, item.inner_low_s, item.inner_high_s),
                )
            ]
            table.add_row(item.hop, f"p{100 * item.q:g}", *sides, item.verdict)
    return table


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _seconds(value_s: float | None) -> str:
    return "open" if value_s is None else f"{value_s:.3g} s"


COMMAND = Command(doctor)
