"""`meshslo simulate`: what the observed calls would become under other timeouts and retries."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption, working
from meshslo.dashboards.printing import FileOption, FormOption, put
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from meshslo.analysis.config import Config
    from meshslo.analysis.recommend import Recommendations
    from meshslo.analysis.simulate import Mesh, Simulation
    from meshslo.analysis.simulate.estimates import Figure
    from meshslo.analysis.simulate.result import Contrast

_Proposed = Annotated[
    list[Path], typer.Option("--proposed", help="Manifests to try, files or folders (repeat), or a recommendations.json.")
]
_Current = Annotated[
    list[Path] | None, typer.Option("--current", help="Manifests in use (repeat). Without it what was seen stands for now.")
]
_By = Annotated[
    str, typer.Option("--by", help="Keys to tell calls apart by, of: hop, route, model, tenant. Hop always is one.")
]
_Config = Annotated[
    Path | None, typer.Option("--config", help="Names the header of models; meshslo.toml here, if there is one.")
]
_Since = Annotated[str | None, typer.Option("--since", help="Calls since: 24h, 7d, or 2026-11-02T09:00:00Z.")]
_Until = Annotated[str | None, typer.Option("--until", help="Calls before, in the same forms.")]
_Seed = Annotated[int, typer.Option(help="Of what is drawn: the same seed gives the same answer.")]

NAMES: Final = {
    "streams_cut_ratio": "streams cut by timers",
    "success_ratio": "success",
    "calls_per_request": "calls per request",
    "amplification": "amplification",
    "tokens_in_vain": "tokens in vain",
    "tokens_in_vain_ratio": "  of all tokens",
    "cut_ratio": "cut by its timers",
    "cut_by_total_timeout": "  by the timeout",
    "cut_by_idle_gap_timeout": "  by the idle timer",
    "cut_by_per_try_timeout": "  by that of one try",
    "cut_by_max_stream_duration": "  by longest stream",
    "peak_concurrency": "at most at a time",
}
"""What quantities are called here."""


def simulate(
    proposed: _Proposed,
    store: StoreOption = DEFAULT_STORE,
    current: _Current = None,
    by: _By = "hop",
    config: _Config = None,
    since: _Since = None,
    until: _Until = None,
    seed: _Seed = 0,
    output: FormOption = "table",
    out: FileOption = None,
) -> None:
    """Replay the observed calls under proposed timeouts, retries and budgets, before you apply them.

    Says what would be cut and by which timer, how often calls would be repeated, how many would succeed, what that costs in
    tokens and concurrency: now, then, and the difference, each with the interval that another such window would show it in.
    What calls do not show (how long a cut one would have taken, what a repetition gains) is answered with bounds: `0 to 12 %`.

    Example: meshslo simulate --store ./meshslo-store --current k8s/ --proposed policies/
    """
    from meshslo.analysis.api import open_store
    from meshslo.dashboards.inputs import keys_in, moment, read_config

    settings = read_config(config)
    with working("replaying calls"):
        answer = open_store(store).simulate(
            _proposal(proposed, settings),
            current=_mesh(current, settings) if current else None,
            by=keys_in(by),
            config=settings,
            since=moment(since),
            until=moment(until),
            seed=seed,
        )
    put(answer, show, output, out)


def _proposal(paths: list[Path], config: "Config") -> "Mesh | Recommendations":
    """Manifests, or recommendations where that is what the one file given holds."""
    from meshslo.analysis.recommend import parse_recommendations
    from meshslo.dashboards.inputs import read_text

    if len(paths) == 1 and paths[0].suffix == ".json" and paths[0].is_file():
        text = read_text(paths[0])
        if '"meshslo.recommendations/' in text:
            return parse_recommendations(text, name=str(paths[0]))
    return _mesh(paths, config)


def _mesh(paths: list[Path], config: "Config") -> "Mesh":
    from meshslo.analysis.simulate import read_mesh
    from meshslo.dashboards.inputs import read_manifests

    return read_mesh(read_manifests(paths), model_header=config.emit.model_header)


def show(answer: "Simulation", console: "Console") -> None:
    """Print the chain, then each row, then what the figures leave open."""
    from meshslo.dashboards import tables

    shown = tables.table(console)
    for name in ("what", *side_names(answer), "change"):
        shown.add_column(name, no_wrap=name == "what")
    parts = [("the whole chain", answer.chain)]
    parts += [(" ".join(value for value in row.keys.values() if value), row.figures) for row in answer.rows]
    for title, figures in parts:
        shown.add_row(tables.Name(title), "", "", "", style="bold")
        for name, contrast in worth_showing(figures):
            cells = (amount(name, contrast.before), amount(name, contrast.after), amount(name, contrast.change, signed=True))
            shown.add_row(f"  {NAMES[name]}", *cells)
    tables.show(console, shown)
    asked = f"{answer.requests:,} requests, {answer.calls:,} calls of {answer.since:%Y-%m-%d %H:%M} to {answer.until:%H:%M}"
    console.print(f"{asked}; intervals ({answer.confidence:.0%}) are of another window with as many.", highlight=False)
    for note in answer.notes:
        say(console, f"- {note}.")


def side_names(answer: "Simulation") -> tuple[str, str]:
    """What the two sides are called."""
    return ("as seen" if answer.before_is == "observed" else "now"), "proposed"


def worth_showing(figures: "Mapping[str, Contrast]") -> "Iterator[tuple[str, Contrast]]":
    """All but tokens where there are none, and timers that cut nothing on either side."""
    for name, contrast in figures.items():
        optional = name.startswith(("tokens_in_vain", "cut_by"))
        seen = any(figure.value != 0.0 and figure.status != "not_seen" for figure in (contrast.before, contrast.after))
        if seen or not optional:
            yield name, contrast


def amount(name: str, figure: "Figure", *, signed: bool = False) -> str:
    """A value with its interval, as in "1.2 % (0.3 to 2.1)", or the bounds alone; `signed` is a change, of shares in points."""
    if figure.low is None or figure.high is None:
        return "-"
    share = name.endswith("_ratio") or name.startswith("cut_by")
    low, high = (_number(end, share=share, signed=signed) for end in (figure.low, figure.high))
    unit = (" pp" if signed else " %") if share else ""
    if figure.value is None:
        return f"{low} to {high}{unit}"
    if low == high:
        return f"{low}{unit}"
    return f"{_number(figure.value, share=share, signed=signed)}{unit} ({low} to {high})"


def _number(value: float, *, share: bool, signed: bool) -> str:
    """Three significant digits, two of shares below 10 %; whole numbers in full."""
    if math.isinf(value):
        return "?"
    scaled = value * 100 if share else value
    digits = 3 if not share or abs(scaled) >= 10 else 2
    text = f"{abs(scaled):,.0f}" if abs(scaled) >= 100 else f"{abs(scaled):.{digits}g}"
    text = "0" if text in ("0", "-0") or abs(scaled) < 1e-9 else text
    sign = "-" if scaled < 0 and text != "0" else "+" if signed and text != "0" else ""
    return sign + text


COMMAND = Command(simulate)
