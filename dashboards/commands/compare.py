"""`meshslo compare`: what differs between two versions, models, tenants, zones or windows, beyond noise."""

from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards import completing
from meshslo.dashboards.console import DEFAULT_STORE, StoreOption
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say
from meshslo.dashboards.text import seconds_text

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.comparison import Compared
    from meshslo.analysis.comparison.result import Difference, Estimate

_A = Annotated[str | None, typer.Option("--a", help="What the baseline's calls are: version=v1, or model=m,zone=z.")]
_B = Annotated[str | None, typer.Option("--b", help="What the others' are, in the same form.")]
_By = Annotated[str, typer.Option("--by", help="Keys to compare calls by, of: hop, route, model, tenant, pod, zone, version.")]
_Phase = Annotated[
    list[str],
    typer.Option("--phase", help="total, first_byte, first_token or max_gap (repeat).", autocompletion=completing.phases),
]
_Quantile = Annotated[list[float], typer.Option("--quantile", help="A share of calls, such as 0.99 (repeat).")]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Calls before, in the same forms.")]
_BaselineSince = Annotated[
    str | None, typer.Option("--baseline-since", help="The baseline's calls since, where they are older.")
]
_BaselineUntil = Annotated[str | None, typer.Option("--baseline-until", help="The baseline's calls before.")]


def compare(
    store: StoreOption = DEFAULT_STORE,
    a: _A = None,
    b: _B = None,
    by: _By = "hop,route",
    phase: _Phase = ["total", "first_token"],  # noqa: B006 - typer copies it
    quantile: _Quantile = [0.5, 0.95, 0.99],  # noqa: B006
    since: _Since = None,
    until: _Until = None,
    baseline_since: _BaselineSince = None,
    baseline_until: _BaselineUntil = None,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Say what differs between two sides beyond noise, with intervals, and which hop's own time moved.

    Sides are told apart by what calls say of themselves (--a, --b), by when they were made (--baseline-since and
    --baseline-until against --since and --until), or both. Cut calls count as longer than seen, calls of one minute as hanging
    together. Where nothing differs at most one comparison in twenty calls anything different (Holm, over all that it compares).
    Exit 1 where something is slower or worse.

    Example: meshslo compare --store ./meshslo-store --a version=v1 --b version=v2 --since 24h
    """
    from meshslo.analysis.api import open_store
    from meshslo.analysis.comparison import parse_conditions
    from meshslo.dashboards.inputs import moment

    window = moment(baseline_since), moment(baseline_until)
    answer = open_store(store).compare(
        parse_conditions(a) if a else None,
        parse_conditions(b) if b else None,
        by=[key.strip() for key in by.split(",") if key.strip()],
        phases=phase,  # type: ignore[arg-type]  # checked there
        quantiles=quantile,
        since=moment(since),
        until=moment(until),
        baseline=window if any(window) else None,
    )
    put(answer, show, output, out)
    if any(each.verdict in ("slower", "worse") for each in answer.moved):
        raise typer.Exit(1)


def show(answer: "Compared", console: "Console") -> None:
    """Print what moved and what did not, and which hop it is."""
    from meshslo.dashboards import tables

    console.print(f"A: {answer.a}\nB: {answer.b}", markup=False, highlight=False)
    shown = tables.table(console)
    for name in ("what", "A", "B", "B - A", "verdict"):
        shown.add_column(name, no_wrap=name != "what")
    for what, each in zip(what_texts(answer), answer.differences, strict=True):
        shown.add_row(
            tables.Name(what),
            side_text(each.a, each),
            side_text(each.b, each),
            change_text(each),
            each.verdict.replace("_", " "),
        )
    tables.show(console, shown)
    say(console, summary(answer))
    for note in answer.left_out:
        say(console, note)


def _tells(answer: "Compared", key: str) -> bool:
    """Whether a key tells targets of one hop apart."""
    pairs = {(each.target.get("hop"), each.target[key]) for each in answer.differences if key in each.target}
    return len(pairs) > len({hop for hop, _ in pairs})


def what_texts(answer: "Compared") -> list[str]:
    """What each difference is of, without what is the same for all of them."""
    several = {key: _tells(answer, key) for key in ("entry", "route")}
    return [what_text(each, **several) for each in answer.differences]


def what_text(each: "Difference", *, entry: bool, route: bool = True) -> str:
    """What was compared: the target (with the traces' way in, where `entry`, and its `route`), the quantity, the quantile."""
    hidden = {name for name, shown in (("entry", entry), ("route", route)) if not shown and "hop" in each.target}
    target = " ".join(value for key, value in each.target.items() if value and key not in {*hidden, "tokens"})
    of = {"success": "success", "own_time": "own time", "at_one_mix": "total"}.get(each.quantity, str(each.phase))
    tokens = each.target.get("tokens")
    mix = f" at {tokens.replace(' out', ' tokens out')}" if tokens else ""
    return f"{target} {of}{mix}" + (f" p{100 * each.q:g}" if each.q else "")


def side_text(side: "Estimate", each: "Difference") -> str:
    """One side's value, or what it is at least."""
    if side.value is not None:
        return _number(side.value, each)
    return "-" if side.low is None else f">= {_number(side.low, each)}"


def change_text(each: "Difference") -> str:
    """B - A with its interval; of shares in percentage points (pp): from 72 % to 79 % are +7 pp."""
    if not each.is_tested:
        return "too few calls"
    estimate = "?" if each.estimate is None else _signed(each.estimate, each)
    return f"{estimate} ({_end(each.low, each)} to {_end(each.high, each)})"


def _end(value: float | None, each: "Difference") -> str:
    return "?" if value is None else _signed(value, each)


def _signed(value: float, each: "Difference") -> str:
    size = f"{round(100 * abs(value), 1):g} pp" if each.unit == "ratio" else seconds_text(abs(value))
    return size if size.startswith("0 ") else f"{'-' if value < 0 else '+'}{size}"


def _number(value: float, each: "Difference") -> str:
    return f"{round(100 * value, 1):g} %" if each.unit == "ratio" else seconds_text(value)


def summary(answer: "Compared") -> str:
    """How much moved, and which hop."""
    tested, moved = answer.tested, len(answer.moved)
    if not answer.differences:
        return "the sides have nothing in common to compare"
    of = f"(Holm, {100 * answer.confidence:g} %)"
    if tested < len(answer.differences):
        of = f"{of[:-1]}; {len(answer.differences) - tested} more have too few calls)"
    if not moved:
        return f"nothing moved beyond the noise of {tested} comparisons {of}"
    which = (
        ""
        if answer.hop is None
        else f"; of the hops {answer.hop.target['hop']} moved most, by {change_text(answer.hop)} of its own"
    )
    return f"{moved} of {tested} moved beyond noise {of}{which}"


COMMAND = Command(compare)
