"""`meshslo tokens`: what a token takes of each model, and the total timeout that follows from max_tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import quantile_text, seconds_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.quantile import Interval
    from meshslo.analysis.tokens import PerToken, TokenTimeout, TokenTimes

_By = Annotated[
    str, typer.Option("--by", help="Keys to tell calls apart by, of: hop, route, model, tenant, pod, zone, version.")
]
_Quantile = Annotated[list[float], typer.Option("--quantile", help="A share of streams, such as 0.99 (repeat).")]
_Config = Annotated[
    Path | None, typer.Option("--config", help="Objectives and each model's max_tokens; meshslo.toml here, if there is one.")
]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Calls before, in the same forms.")]


def tokens(
    store: StoreOption = DEFAULT_STORE,
    by: _By = "hop,model",
    quantile: _Quantile = [0.5, 0.95, 0.99],  # noqa: B006 - typer copies it
    config: _Config = None,
    since: _Since = None,
    until: _Until = None,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Show the time per output token, and what a total is made of: a base, each token answered, each token asked.

    Totals differ by how much is answered; these figures do not. Cut streams count with the time per token that they showed.
    Where meshslo.toml knows a model's max_tokens, the total timeout is given that all but the false-timeout budget's share of
    such calls stay within, also where a timer cuts long answers today.

    Example: meshslo tokens --store ./meshslo-store --by hop,model,version --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import moment, read_config

    answer = open_store(store).tokens(
        config=read_config(config),
        by=[key.strip() for key in by.split(",") if key.strip()],
        quantiles=quantile,
        since=moment(since),
        until=moment(until),
    )
    put(answer, show, output, out)


def show(answer: "TokenTimes", console: "Console") -> None:
    """Print a row a group, and below what is not as it should be."""
    from meshslo.dashboards import tables

    if not answer.items:
        console.print("no calls of a model show how many tokens or chunks they answered", highlight=False)
        return
    shown = tables.table(console)
    for name in (" / ".join(answer.items[0].target), "calls", "per output token", "total is", "timeout"):
        shown.add_column(
            name, no_wrap=name != " / ".join(answer.items[0].target), justify="right" if name == "calls" else "left"
        )
    for item in answer.items:
        target = tables.Name("\n".join(value or "-" for value in item.target.values()))
        shown.add_row(target, _calls(item), _paces(answer, item), _line(item), _timeout(item.timeout))
    tables.show(console, shown)
    for note in answer.notes:
        say(console, note)
    for item in answer.items:
        if item.survivors:
            whose = " ".join(value for value in item.target.values() if value)
            why = f"{item.off_the_line:,} of its {item.calls:,} calls were cut without a time per token"
            say(console, f"{whose}: figures are of the quicker calls, {why}")


def _calls(item: "PerToken") -> str:
    return f"{item.calls:,}" + (f"\n{item.cut:,} cut" if item.cut else "")


def _paces(answer: "TokenTimes", item: "PerToken") -> str:
    pairs = zip(answer.quantiles, item.per_token, strict=True)
    return "\n".join(f"p{100 * q:g} {quantile_text(vars(quantile))}" for q, quantile in pairs)


def _line(item: "PerToken") -> str:
    if item.base_s is None or item.per_output_token_s is None or item.per_input_token_s is None:
        return "-"
    parts = [_part(item.base_s, 1, ""), _part(item.per_output_token_s, 1, "/token out")]
    asked = item.per_input_token_s
    return "\n+ ".join([*parts, *([_part(asked, 1000, "/1000 in")] if asked.high != asked.low else [])])


def _part(found: "Interval", times: int, unit: str) -> str:
    return f"{_signed(found.estimate * times)}{unit}"


def _signed(value_s: float) -> str:
    return f"-{seconds_text(-value_s)}" if value_s < 0 else seconds_text(value_s)


def _timeout(found: "TokenTimeout | None") -> str:
    if found is None:
        return "-"
    if found.value_s is None:
        return f"needs {found.needs_calls:,} more"
    return f"{seconds_text(found.value_s)}\nfor {found.max_tokens:,}"


COMMAND = Command(tokens)
