"""`meshslo report`: outcomes and quantiles of each group."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from meshslo.dashboards.console import DEFAULT_STORE, Output, OutputOption, StoreOption, err, out
from meshslo.dashboards.text import seconds_text, share_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from meshslo.analysis.report import Report


def report(
    store: StoreOption = DEFAULT_STORE,
    by: Annotated[
        str, typer.Option(help="Keys to tell calls apart by, of: hop, route, model, tenant, pod, zone, version.")
    ] = "hop,route,model,tenant",
    phase: Annotated[str, typer.Option(help="What is timed: total, first_byte, first_token or max_gap.")] = "total",
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
        ),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="meshslo.toml with the limits of routes, tenants and models.", show_default=False)
    ] = None,
    output: OutputOption = Output.table,
) -> None:
    """Show how calls ended and how long they took: p95 and p99 with intervals, by hop, route, model and tenant.

    A call that a timer cut, or whose caller left, counts as longer than what was seen of it: ">= 3.0 s" means that the
    quantile lies beyond what any timer let through.

    Example: meshslo report --store ./meshslo-store --by hop,model --phase first_token --quantile 0.99 --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.analysis.config import Limits
    from meshslo.dashboards.moments import parse_moment

    now = datetime.now(UTC)

    answer = open_store(store, limits=_config(config).limits if config else Limits()).report(
        by=[key.strip() for key in by.split(",") if key.strip()],
        phase=phase,  # type: ignore[arg-type]  # checked there
        quantiles=quantile,
        since=parse_moment(since, now) if since else None,
        until=parse_moment(until, now) if until else None,
        vantage=vantage,  # type: ignore[arg-type]  # checked there
    )
    if output is Output.json:
        typer.echo(answer.to_json())
        return
    show(answer, out())


def _config(path: Path) -> Any:
    from meshslo.analysis.config import parse_config
    from meshslo.telemetry.errors import BadConfigError

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfigError(f"{path} cannot be read: {error}; pass the path of a meshslo.toml") from None
    return parse_config(text, name=str(path))


def show(answer: "Report", console: "Console") -> None:
    """Print the report as a table, with what is common to all rows above it and what the figures mean below."""
    console.print(f"{answer.phase} of calls that started from {_when(answer.start)} to {_when(answer.end)}")
    same = {key: answer.frame[key][0] for key in (*answer.by, "vantage") if answer.frame[key].n_unique() == 1}
    if same:
        console.print(
            "all: " + ", ".join(f"{'seen by' if key == 'vantage' else key} {value or '-'}" for key, value in same.items())
        )
    console.print(_table(answer, [key for key in (*answer.by, "vantage") if key not in same]))
    if (answer.frame["status"] == "at_least").any():
        console.print(">= : calls were cut before they could end; the true value lies beyond.")
    console.print("naive: of calls that ended ok alone, cut ones left out.")
    for fold in answer.folded:
        err().print(f"{fold.values} values of {fold.key} ({fold.calls} calls) are counted together as __other__")


def _when(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def _table(answer: "Report", keys: list[str]) -> "Table":
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(" / ".join("seen by" if key == "vantage" else key for key in keys), overflow="fold")
    table.add_column("calls", justify="right", no_wrap=True)
    table.add_column("endings", no_wrap=True)
    quantiles = answer.frame["q"].unique(maintain_order=True).to_list()
    for q in quantiles:
        table.add_column(f"p{100 * q:g}", no_wrap=True)
    for _, rows in answer.frame.group_by(["vantage", *answer.by], maintain_order=True):
        first = rows.row(0, named=True)
        values = [_value(row) for row in rows.iter_rows(named=True)]
        table.add_row("\n".join(first[key] or "-" for key in keys), f"{first['calls']:,}", _endings(first), *values)
    return table


def _endings(row: dict[str, Any]) -> str:
    from meshslo.telemetry.vocabulary import OUTCOMES

    return "\n".join(f"{outcome} {share_text(row[outcome], row['calls'])}" for outcome in OUTCOMES if row[outcome])


def _value(row: dict[str, Any]) -> str:
    if not row["timed"]:
        return "not seen"
    naive = f"naive {seconds_text(row['completed_value_s'])}"
    if row["status"] == "not_identifiable":
        return f"needs {row['needs_calls']:,} more calls\n{naive}"
    if row["status"] == "at_least":
        return f">= {seconds_text(row['value_s'])}\n{naive}"
    low, high = (seconds_text(row[name]) for name in ("low_s", "high_s"))
    return f"{seconds_text(row['value_s'])} ({low} to {'?' if high == '-' else high})\n{naive}"


COMMAND = Command(report)
