"""`meshslo chain`: where whole traces spend their time, hop by hop."""

from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import quantile_text, share_text

from . import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from meshslo.analysis.paths import Chain
    from meshslo.analysis.paths.result import HopTime, Share, Slow, Way
    from meshslo.analysis.quantile import Quantile

_By = Annotated[
    str, typer.Option("--by", help="Keys of the first call to tell traces apart by, of: route, model, tenant, version, zone.")
]
_Quantile = Annotated[
    list[float], typer.Option("--quantile", help="A share of the traces, such as 0.99; may be given several times.")
]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Calls before, in the same forms.")]


def chain(
    store: StoreOption = DEFAULT_STORE,
    by: _By = "route",
    quantile: _Quantile = [0.5, 0.95, 0.99],  # noqa: B006 - typer copies it
    since: _Since = None,
    until: _Until = None,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Show which hops a user waits for: the critical path of each trace, and who takes the slow ones' time.

    "on path" is what a trace spends on a hop while nothing that ends later runs beside it, calls inside included; "own" is the
    part without these. Of a trace its parts add up to its duration; quantiles of hops do not. "share" is a hop's own part of
    the time of the slowest traces: those at and beyond the quantile.

    Example: meshslo chain --store ./meshslo-store --by route,model --quantile 0.99 --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import keys_in, moment

    with working("following traces"):
        answer = open_store(store).chain(by=keys_in(by), quantiles=quantile, since=moment(since), until=moment(until))
    put(answer, show, output, out)


def show(answer: "Chain", console: "Console") -> None:
    """Print a table for each way in, and what was found of clocks and torn traces."""
    from meshslo.dashboards import tables

    for way in answer.ways:
        keys = ", ".join(f"{key} {value or '-'}" for key, value in way.keys.items())
        failed = f", {way.failed:,} more failed" if way.failed else ""
        say(console, f"{way.entry} {keys}: {way.traces:,} traces{failed}")
        tables.show(console, _table(answer, way, console))
    for note in caveats(answer):
        say(console, note)


def _table(answer: "Chain", way: "Way", console: "Console") -> "Table":
    from meshslo.dashboards.tables import Name, table

    shown = table(console)
    shown.add_column("hop")
    shown.add_column("calls", justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for name in ("on path", "own", "share"):
        shown.add_column(name, no_wrap=True)
    marks = "\n".join(f"p{100 * q:g}" for q in answer.quantiles)
    shown.add_row(Name("whole traces"), f"{way.traces:,}", marks, _lines(way.total), "", "")
    for hop in way.hops:
        shares = "\n".join(_share(share, slow) for share, slow in zip(hop.shares, way.slow, strict=True))
        shown.add_row(Name(hop.hop), _calls(hop), marks, _lines(hop.on_path), _lines(hop.own), shares)
    return shown


def _calls(hop: "HopTime") -> str:
    repeated = f"\n{hop.repeated:,} again" if hop.repeated else ""
    return f"{hop.calls:,}{repeated}" + (f"\n{hop.parallel} at once" if hop.parallel > 1 else "")


def _lines(quantiles: "Sequence[Quantile]") -> str:
    return "\n".join(quantile_text(vars(quantile)) for quantile in quantiles)


def _share(share: "Share | None", slow: "Slow") -> str:
    if share is None:
        return f"needs {slow.needs_traces:,} more"
    return f"{100 * share.estimate:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f})"


def caveats(answer: "Chain") -> list[str]:
    """Sentences on clocks, torn traces, and traces that were not looked at."""
    notes = []
    if answer.outside:
        fixed = f"a shift of clocks put {answer.repaired:,} of them right, the others were cut to fit"
        notes.append(f"{share_text(answer.outside, answer.calls)} of the calls were not within the call around them: {fixed}")
    if answer.unawaited:
        notes.append(f"{answer.unawaited:,} calls outlasted the call that made them and are on nobody's path")
    notes += [f"{calls:,} calls left out: {why}" for why, calls in answer.left_out.items()]
    if answer.one_in > 1:
        notes.append(f"one trace in {answer.one_in} was looked at")
    return notes


COMMAND = Command(chain)
