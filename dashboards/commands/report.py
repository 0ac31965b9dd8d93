"""`meshslo report`: outcomes and quantiles of each group."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from meshslo.dashboards import completing
from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put, write
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import quantile_text, seconds_text, share_text

from . import Command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.table import Table

    from meshslo.analysis.api import CallStore
    from meshslo.analysis.config import Config
    from meshslo.analysis.report import Report


KEYS_WIDTH: Final = 21
"""Characters: so much room the figures leave to the keys in a pipe."""


def report(
    store: StoreOption = DEFAULT_STORE,
    by: Annotated[
        str, typer.Option(help="Keys to tell calls apart by, of: hop, route, model, tenant, pod, zone, version.")
    ] = "hop,route,model,tenant",
    phase: Annotated[
        str, typer.Option(help="What is timed: total, first_byte, first_token or max_gap.", autocompletion=completing.phases)
    ] = "total",
    quantile: Annotated[list[float], typer.Option(help="A share of calls, such as 0.99; may be given several times.")] = [  # noqa: B006
        0.95,
        0.99,
    ],
    since: Annotated[
        str | None, typer.Option(help="Calls from here on: a time (2026-11-02T09:00Z) or an age (24h).", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option(help="Calls before this time or age.", show_default=False)] = None,
    vantage: Annotated[
        str | None,
        typer.Option(
            help="Only what this vantage saw: client, proxy_out, proxy_in, server, metric; else the outermost of each hop.",
            show_default=False,
            autocompletion=completing.vantages,
        ),
    ] = None,
    bursts: Annotated[
        bool | None,
        typer.Option(
            "--bursts/--no-bursts",
            help="Widen intervals where calls of a minute, hour or day go together; takes a second look at the calls. "
            "Of up to 200 hours and 10 million calls unless said.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="Limits of routes, tenants, models; meshslo.toml here, if there is one.")
    ] = None,
    current: Annotated[
        list[Path] | None,
        typer.Option("--current", help="With --html: manifests in use, files or folders (repeat); else values are inferred."),
    ] = None,
    output: FormOption = "table",
    out: FileOption = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            help="Write a page with pictures, recommendations and data quality instead, to be opened or mailed.",
            show_default=False,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Show how calls ended and how long they took: p95 and p99 with intervals, by hop, route, model and tenant.

    A call that a timer cut, or whose caller left, counts as longer than what was seen of it: ">= 3.0 s" means that the
    quantile lies beyond what any timer let through.

    Example: meshslo report --store ./meshslo-store --by hop,model --phase first_token --quantile 0.99 --since 24h

    A page to mail: meshslo report --by hop,model --html report.html --config meshslo.toml --current k8s/
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import keys_in, moment, read_config
    from meshslo.telemetry.errors import BadConfigError

    if current and html is None:
        raise BadConfigError("--current is for the recommendations of --html: add it, or ask `meshslo recommend --current`")
    settings = read_config(config)
    calls, window = open_store(store, limits=settings.limits), {"since": moment(since), "until": moment(until)}
    with working("counting calls"):
        answer = calls.report(
            by=keys_in(by),
            phase=phase,  # type: ignore[arg-type]  # checked there
            quantiles=quantile,
            **window,
            vantage=vantage,  # type: ignore[arg-type]  # checked there
            bursts=bursts,
        )
        page = None if html is None else _page(calls, answer, settings, current or [], window)
    if page is None:
        put(answer, show, output, out)
    else:
        write(page, html)


def _page(
    calls: "CallStore", answer: "Report", settings: "Config", current: "Sequence[Path]", window: "dict[str, datetime | None]"
) -> str:
    from meshslo.analysis.answer import require

    require("plotly", "a page with pictures")
    from meshslo.analysis.policy.deployed import read_deployed
    from meshslo.dashboards.html_report import Asked, report_page
    from meshslo.dashboards.inputs import read_manifests

    deployed = read_deployed(read_manifests(current), model_header=settings.emit.model_header)
    return report_page(Asked(calls, answer, settings, deployed, **window))


def show(answer: "Report", console: "Console") -> None:
    """Print the report as a table, with what is common to all rows above it and what the figures mean below."""
    from meshslo.dashboards import tables

    console.print(f"{answer.phase} of calls that started from {_when(answer.start)} to {_when(answer.end)}")
    same = {key: answer.frame[key][0] for key in (*answer.by, "vantage") if answer.frame[key].n_unique() == 1}
    if same:
        words = (f"{'seen by' if key == 'vantage' else key} {value or '-'}" for key, value in same.items())
        say(console, "all: " + ", ".join(words))
    tables.show(console, _table(answer, [key for key in (*answer.by, "vantage") if key not in same], console))
    if (answer.frame["status"] == "at_least").any():
        console.print(">= : calls were cut before they could end; the true value lies beyond.")
    console.print("naive: of calls that ended ok alone, cut ones left out.")
    say(console, burst_note(answer))
    for pile in answer.piles:
        say(console, f"{pile} (hidden deadline)")
    for fold in answer.folded:
        console.print(f"{fold.values} values of {fold.key} ({fold.calls} calls) are counted together as __other__")


def burst_note(answer: "Report") -> str:
    """What intervals know of bursts."""
    if answer.independent:
        return f"intervals take calls for independent: {answer.independent}."
    timed = answer.frame.filter(answer.frame["timed"] > 0)["design_effect"]
    largest, unknown = max(timed.drop_nulls().to_list(), default=1.0), timed.null_count()
    few = f"; {unknown} of {len(timed)} quantiles are of too few minutes to tell" if unknown else ""
    if float(f"{largest:.2g}") <= 1.0:
        return f"intervals look for bursts and found none: calls count as independent ones{few}."
    return f"intervals have bursts in them: calls count for up to {largest:.2g} times fewer than independent ones{few}."


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _table(answer: "Report", keys: list[str], console: "Console") -> "Table":
    from meshslo.dashboards.tables import Name, table

    shown = table(console)
    if keys:
        shown.add_column(" / ".join("seen by" if key == "vantage" else key for key in keys))
    shown.add_column("calls", justify="right", no_wrap=True)
    shown.add_column("endings", no_wrap=True)
    quantiles = answer.frame["q"].unique(maintain_order=True).to_list()
    for q in quantiles:
        shown.add_column(f"p{100 * q:g}", no_wrap=True)
    groups: dict[tuple[str | None, ...], list[dict[str, Any]]] = {}
    for row in answer.frame.iter_rows(named=True):
        groups.setdefault(tuple(row[key] for key in ("vantage", *answer.by)), []).append(row)
    for rows in groups.values():
        names = [Name(_packed([rows[0][key] or "-" for key in keys]))] if keys else []
        shown.add_row(*names, f"{rows[0]['calls']:,}", _endings(rows[0]), *map(_value, rows))
    return shown


def _packed(values: "Sequence[str]") -> str:
    r"""Values of keys under each other, several on a line where they are short.

    >>> _packed(["gateway>generator", "/v1/chat", "large", "acme", "client"])
    'gateway>generator\n/v1/chat / large\nacme / client'
    """
    lines: list[str] = []
    for value in values:
        joined = f"{lines[-1]} / {value}" if lines else value
        lines[-1:] = [joined] if len(joined) <= KEYS_WIDTH else [*lines[-1:], value]
    return "\n".join(lines)


def _endings(row: dict[str, Any]) -> str:
    from meshslo.telemetry.vocabulary import OUTCOMES

    return "\n".join(f"{outcome} {share_text(row[outcome], row['calls'])}" for outcome in OUTCOMES if row[outcome])


def _value(row: dict[str, Any]) -> str:
    text = quantile_text(row)
    return f"{text}\nnaive {seconds_text(row['completed_value_s'])}" if row["timed"] else text


COMMAND = Command(report)
