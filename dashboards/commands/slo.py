"""`meshslo slo`: how the objectives stand, what is left of their budgets, how fast these burn."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, err, working
from meshslo.dashboards.printing import FORM_HELP, FileOption, Form, put, write
from meshslo.dashboards.sentences import say
from meshslo.dashboards.standings import WORST, budget_left, name_of, percent_text, status_text
from meshslo.dashboards.text import seconds_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from meshslo.analysis.quantile import Interval
    from meshslo.analysis.slo.standing import Standing
    from meshslo.analysis.slo.status import SloReport

STALE: Final = timedelta(hours=1)
"""Since the last call; older data is said to be old, since budgets are then those of that time."""

MOSTLY: Final = 0.05
"""Share of an objective's window without calls at its beginning that is not worth a word."""


class FailOn(StrEnum):
    """What makes the command exit 1."""

    missed = "missed"
    undecided = "undecided"


_Config = Annotated[Path | None, typer.Option("--config", help="Objectives; meshslo.toml here, if there is one.")]
_OpenSlo = Annotated[list[Path] | None, typer.Option("--openslo", help="OpenSLO files with objectives besides (repeat).")]
_At = Annotated[str | None, typer.Option("--at", help="As of: now, 24h, or 2026-11-02T09:00Z; else just after the last call.")]
_Each = Annotated[
    str,
    typer.Option(
        "--each", help="Once for each of these that an objective leaves open: route, model, tenant.", show_default=False
    ),
]
_Fail = Annotated[
    FailOn, typer.Option("--fail-on", help="Exit 1 on missed ones, or also on undecided ones and those without calls.")
]
_Form = Annotated[
    Literal[Form, "openslo"], typer.Option("--output", "-o", help=f"{FORM_HELP} OpenSLO is the objectives themselves.")
]


def slo(
    store: StoreOption = DEFAULT_STORE,
    config: _Config = None,
    openslo: _OpenSlo = None,
    at: _At = None,
    each: _Each = "",
    fail_on: _Fail = FailOn.missed,
    output: _Form = "table",
    out: FileOption = None,
) -> None:
    """Say how each objective stands: share of calls that kept it, error budget left, burn rates; exit 1 when one is missed.

    Calls are judged one by one. Of a call cut before the threshold nobody knows whether it would have kept it: such calls
    widen the interval, and an objective that they would decide is "undecided", not met.

    Example: meshslo slo --store ./meshslo-store --config meshslo.toml --output json
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import keys_in, moment
    from meshslo.dashboards.objectives import read_objectives

    settings = read_objectives(config, openslo or [])
    if output == "openslo":
        from meshslo.analysis.slo.openslo import to_openslo

        write(to_openslo(settings.slo), out)
        return
    with working("judging calls"):
        answer = open_store(store, limits=settings.limits).slo(settings, at=moment(at), each=keys_in(each))
    put(answer, show, output, out)
    if at is None and datetime.now(UTC) - answer.at > STALE:
        err().print(f"the last call started at {answer.at:%Y-%m-%d %H:%M}Z: this is how it stood then (--at now for now)")
    if answer.missed or (fail_on is FailOn.undecided and answer.open):
        raise typer.Exit(1)


def show(answer: "SloReport", console: "Console") -> None:
    """Print a row an objective, then what burns and what the figures cannot say."""
    from meshslo.dashboards import tables

    console.print(f"objectives as of {answer.at:%Y-%m-%d %H:%M}Z, the worst first")
    ordered = sorted(answer.standings, key=budget_left)
    tables.show(console, _table(ordered[:WORST], console))
    if len(ordered) > WORST:
        console.print(f"{len(ordered) - WORST} more have more budget left; --output json has them all")
    if late := [each for each in ordered if each.first and each.first - each.start > (each.end - each.start) * MOSTLY]:
        first = min(each.first for each in late if each.first)
        console.print(f"no calls before {first:%Y-%m-%d %H:%M}Z: budgets are those of the part of the window since then")
    for name, promise in {each.objective.name: each.objective for each in ordered}.items():
        say(console, f"{name}: {promise.hop}: {promise}")
    for pile in answer.piles:
        say(console, f"{pile} (hidden deadline)")
    for standing in ordered[:WORST]:
        for note in _notes(standing):
            say(console, f"{name_of(standing)}: {note}")


def _table(standings: list["Standing"], console: "Console") -> "Table":
    from meshslo.dashboards import tables

    table = tables.table(console)
    table.add_column("objective")
    table.add_column("status", no_wrap=True)
    table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("kept it (95 %)", justify="right", no_wrap=True)
    table.add_column("budget left", justify="right", no_wrap=True)
    table.add_column("burn 1h / 6h", justify="right", no_wrap=True)
    for standing in standings:
        name, *cells = _cells(standing)
        table.add_row(tables.Name(name), *cells)
    return table


def _cells(standing: "Standing") -> tuple[str, ...]:
    status = status_text(standing).replace(" (", "\n(")
    if standing.attained is None or standing.budget_left is None:
        return name_of(standing), status, "0", "-", "-", "-"
    unknown = f"\n{standing.counts.unknown:,} unknown" if standing.counts.unknown else ""
    kept, left = (_interval(each) for each in (standing.attained, standing.budget_left))
    return name_of(standing), status, f"{standing.counts.calls:,}{unknown}", kept, left, _pace(standing)


def _interval(shares: "Interval") -> str:
    return f"{percent_text(shares.estimate)} %\n({percent_text(shares.low)} to {percent_text(shares.high)})"


def _pace(standing: "Standing") -> str:
    rates = (burn.long for burn in standing.burns[:2])
    return " / ".join("-" if rate is None else f"{rate:.2g}x" if rate < 10.0 else f"{rate:.0f}x" for rate in rates)


def _notes(standing: "Standing") -> Iterator[str]:
    from meshslo.analysis.slo.windows import window_text

    for burn in standing.fires:
        long, short = (window_text(seconds) for seconds in (burn.window.long_s, burn.window.short_s))
        yield f"{burn.severity}: burns {burn.long:.3g} times too fast over {long}, {burn.short:.3g} times over {short}"
    if standing.status == "undecided":
        yield (
            f"{standing.counts.unknown:,} calls were cut before the threshold and would decide it; "
            "`meshslo recommend timeouts` says which timer cuts them"
        )
    if standing.status == "no_data":
        where = " ".join(standing.objective.selection.values())
        yield f"no call of {where} says anything; `meshslo doctor` shows what was seen"
    if standing.exhausted_in_s:
        yield f"at the pace of the last 6 h the budget is spent in {_long_text(standing.exhausted_in_s)}"
    needed = round(1.0 / standing.objective.budget)
    if standing.attained is not None and standing.counts.calls < needed:
        yield f"of {standing.counts.calls:,} calls a single failure is more than the budget; that takes {needed:,} calls"


def _long_text(seconds: float) -> str:
    return (
        f"{seconds / 86_400:.3g} days"
        if seconds > 2 * 86_400
        else f"{seconds / 3600:.3g} h"
        if seconds > 7200
        else seconds_text(seconds)
    )


COMMAND = Command(slo)
