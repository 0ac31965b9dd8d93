"""`meshslo doctor`: what the data can bear."""

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import seconds_text, share_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from meshslo.analysis.agreement import Comparison
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
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Tell what the data can bear: who saw each hop, what is set, clocks, sampling, vantages that contradict each other.

    Metrics that were pulled or pushed are listed by the profile that reads them (istio, linkerd, vllm, ...).

    Example: meshslo doctor --store ./meshslo-store --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import moment

    with working("examining calls"):
        diagnosis = open_store(store).doctor(since=moment(since), until=moment(until))
    put(diagnosis, show, output, out)
    if fail_on != "never" and diagnosis.at_least(fail_on):
        raise typer.Exit(1)


def show(diagnosis: "Diagnosis", console: "Console") -> None:
    """Print who saw what, where vantages differ, and each finding with its remedy."""
    from meshslo.dashboards import tables

    if diagnosis.coverage.calls:
        tables.show(console, _hops(diagnosis, console))
    for one in diagnosis.metrics:
        what = f"{one.hops} hop{'s' * (one.hops != 1)}, {', '.join(one.phases) or 'counters only'}"
        text = f"metrics of {one.profile} from {one.source}: {what}; {one.start:%Y-%m-%d %H:%M} to {one.end:%Y-%m-%d %H:%M} UTC"
        say(console, text)
    differing = [item for item in diagnosis.comparisons if item.verdict not in ("agree", "unknown")]
    if differing:
        tables.show(console, _comparisons(differing, console))
    known = sum(item.verdict != "unknown" for item in diagnosis.comparisons)
    if known:
        console.print(f"{known - len(differing)} of {known} quantiles of one hop at two vantages agree.", highlight=False)
    for finding in diagnosis.findings:
        say(console, f"{finding.severity} {finding.code} {finding.subject}: {finding.message}")
        say(console, f"    {finding.remedy}", hang=4)
    if not diagnosis.findings:
        console.print("Nothing to complain of.")


def _hops(diagnosis: "Diagnosis", console: "Console") -> "Table":
    """Calls of each hop and vantage, and the share of them on which a column is set."""
    from meshslo.dashboards.tables import Name, table

    shown = table(console, title="Who saw what: share of calls (of streams that ended well, for the last two) with ... known")
    for name in ("hop", "vantage", "calls", "tenant", "model", "caller", "weight", "first token", "max gap"):
        shown.add_column(name, justify="left" if name in ("hop", "vantage") else "right")
    for row in diagnosis.coverage.hops.iter_rows(named=True):
        shares = [_share(row[name], row["calls"]) for name in ("tenant", "model", "caller", "weight")]
        stream = [_share(row[name], row["streams_ok"]) for name in ("first_token", "max_gap")]
        shown.add_row(Name(row["hop"]), row["vantage"], f"{row['calls']:,}", *shares, *stream)
    return shown


def _comparisons(differing: "list[Comparison]", console: "Console") -> "Table":
    """Quantiles of hops whose vantages do not agree about them."""
    from meshslo.dashboards.tables import Name, table

    shown = table(console, title="Total duration of one hop at two vantages, where they differ")
    for name in ("hop", "quantile", "outer", "inner", "verdict"):
        shown.add_column(name)
    for item in differing:
        outer = _side(item.outer, item.outer_s, item.outer_low_s, item.outer_high_s)
        inner = _side(item.inner, item.inner_s, item.inner_low_s, item.inner_high_s)
        shown.add_row(Name(item.hop), f"p{100 * item.q:g}", outer, inner, item.verdict)
    return shown


def _side(vantage: str, value_s: float | None, low_s: float | None, high_s: float | None) -> str:
    """What a vantage says, with its interval below; without an upper end only that it is at least so long."""
    if high_s is None:
        return f"{vantage} >= {seconds_text(value_s)}"
    return f"{vantage} {seconds_text(value_s)}\n({seconds_text(low_s)} to {seconds_text(high_s)})"


def _share(part: int, whole: int) -> str:
    return share_text(part, whole) if whole else "-"


COMMAND = Command(doctor)
