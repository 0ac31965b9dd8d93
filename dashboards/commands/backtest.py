"""`meshslo backtest`: whether promised false-timeout rates hold on calls that were not learned from."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.backtest import Backtest, Judged, Row, Split

_Split = Annotated[
    str,
    typer.Option(
        "--split", help="Share of the calls to fit on (0.7); day or rolling: each day, or tenth, judged by those before."
    ),
]
_By = Annotated[
    str, typer.Option("--by", help="Keys to tell calls apart by, of: hop, route, model, tenant, pod, zone, version.")
]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives; meshslo.toml here, if there is one.")]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Calls before, in the same forms.")]


def backtest(
    store: StoreOption = DEFAULT_STORE,
    split: _Split = "0.7",
    by: _By = "hop,route,model",
    config: _Config = None,
    since: _Since = None,
    until: _Until = None,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Fit timeouts on the first part of the calls and count what they would have cut of the rest.

    Beside each stand the values of common rules on the same calls: twice the p99, the longest seen, mean + 3 sigma, and the
    same bound with cut calls dropped. Exit 1 where a promised rate was surely not kept.

    Example: meshslo backtest --store ./meshslo-store --split day --by hop,model
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import keys_in, moment, read_config

    with working("fitting and judging"):
        found = open_store(store).backtest(
            split=_split(split),
            by=keys_in(by),
            config=read_config(config),
            since=moment(since),
            until=moment(until),
        )
    put(found, show, output, out)
    if found.broken:
        raise typer.Exit(1)


def _split(text: str) -> "Split":
    from meshslo.telemetry.errors import BadConfigError

    if text in ("day", "rolling"):
        return text  # type: ignore[return-value]  # one of the two
    try:
        return float(text)
    except ValueError:
        raise BadConfigError(f"--split {text} is neither a share such as 0.7, nor day, nor rolling") from None


def show(found: "Backtest", console: "Console") -> None:
    """Print promised against observed, a row a judgement, and what became of the rules."""
    from meshslo.dashboards import tables

    table = tables.table(console)
    for name in ("target", "setting", "value", "promised", "observed", "kept"):
        table.add_column(name, no_wrap=name == "setting")
    for row in found.rows:
        target, *cells = _cells(row)
        table.add_row(tables.Name(target), *cells)
    tables.show(console, table)
    judged = [row for row in found.rows if row.own is not None]
    console.print(
        f"{len(judged) - len(found.broken)} of {len(judged)} promises kept; {len(found.rows) - len(judged)} targets too small."
    )
    for name in sorted({name for row in judged for name in row.rules or {}}):
        answers = [row.rules[name] for row in judged if row.rules and name in row.rules]
        console.print(f"  {name}: {sum(a.kept_promise for a in answers)} of {len(answers)} kept{_longer(judged, name)}")


def _longer(judged: "list[Row]", name: str) -> str:
    """By how much a rule's values exceed ours, in the middle: a timer too long holds dead calls."""
    from statistics import median

    ratios = [row.rules[name].value_s / row.own.value_s for row in judged if row.own and row.rules and name in row.rules]
    return f", values {median(ratios):.2g} times ours" if ratios else ""


def _cells(row: "Row") -> tuple[str, ...]:
    from meshslo.analysis.recommend.words import seconds, share

    target = " ".join(value for value in row.target.values() if value)
    promised = share(row.promised_rate)
    if row.own is None:
        needs = f"needs {row.needs_calls:,} more calls" if row.needs_calls else "nothing to judge, or all cut"
        return target, row.setting, "-", promised, needs, "-"
    return target, row.setting, seconds(row.own.value_s), promised, _observed(row.own, row.judged_calls), _kept(row.own)


def _observed(own: "Judged", calls: int) -> str:
    from meshslo.analysis.recommend.words import share

    return f"{share(own.observed_rate)} ({share(own.observed_low)} to {share(own.observed_high)}) of {calls:,}"


def _kept(own: "Judged") -> str:
    return "yes" if own.kept_promise else "NO"


COMMAND = Command(backtest)
