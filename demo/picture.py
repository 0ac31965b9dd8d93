"""Pictures of a demo: `report.html` (plotly, opens in any browser without a network) and `summary.svg` (for a README)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from meshslo.analysis import open_store
from meshslo.dashboards.figures.theme import GREY
from meshslo.dashboards.html_report import Part, page
from meshslo.dashboards.papers import Html

from .measure import entry_calls
from .mesh import MISTAKES
from .runs import TITLE, Run, runs_table
from .settings import DemoSettings
from .svg import COLOURS, Curve, draw

CAP_S: Final = MISTAKES["gateway"].timeout_s or 0.0

CAPTION: Final = (
    "A curve that ends above 0 ends where the timer cut every longer stream: what is beyond was not seen. "
    "Calls per call needed is the product over the chain; tokens in vain were generated for streams that did not end well."
)


def write_pictures(store: Path, runs: Sequence[Run], settings: DemoSettings, folder: Path) -> None:
    """Write both pictures into `folder`."""
    curves = {run.name: _still_running(store, run) for run in runs}
    (folder / "report.html").write_text(_page(runs, curves, cap_s=CAP_S * settings.pace))
    (folder / "summary.svg").write_text(draw(runs, curves, cap_s=CAP_S * settings.pace))


def _still_running(store: Path, run: Run) -> Curve:
    """The product-limit estimate (Kaplan and Meier 1958) of streams' durations, from the raw calls of the run."""
    calls = open_store(store).scan(run.since, run.until).collect()
    streams = entry_calls(calls).filter("streamed").sort("duration_s")
    ended = (streams["outcome"] == "ok").to_numpy()
    at_risk = np.arange(streams.height, 0, -1)
    share: NDArray[np.float64] = np.cumprod(1.0 - ended / at_risk, dtype=np.float64)
    return streams["duration_s"].to_numpy().astype(np.float64), share


def _page(runs: Sequence[Run], curves: dict[str, Curve], cap_s: float) -> str:
    paper = Html()
    paper.print(runs_table(runs, paper))
    about = [f"{run.name}: {run.since:%Y-%m-%d %H:%M:%S}Z to {run.until:%H:%M:%S}Z" for run in runs]
    return page(TITLE, about, [Part("Measured in each run", [(_figure(runs, curves, cap_s), CAPTION)], paper.text)])


def _figure(runs: Sequence[Run], curves: dict[str, Curve], cap_s: float) -> go.Figure:
    titles = ("Streams still running after so many seconds", "Streams cut by timers", "Calls per call needed", "Tokens in vain")
    figure = make_subplots(rows=2, cols=2, subplot_titles=titles)
    for (name, (seconds, share)), colour in zip(curves.items(), COLOURS, strict=False):
        line = {"color": colour, "shape": "hv"}
        figure.add_trace(go.Scatter(x=seconds, y=share, name=name, mode="lines", line=line), row=1, col=1)
    figure.add_vline(
        x=cap_s, line_dash="dot", line_color=GREY, annotation_text=f"the {cap_s:g} s timeout of the start", row=1, col=1
    )
    _bars(figure, runs, [run.store.cut_rate for run in runs], 1, 2)
    promised = [run.promised_rate for run in runs]
    marks = {"color": GREY, "symbol": "line-ew-open", "size": 24}
    names = [run.name for run in runs]
    figure.add_trace(go.Scatter(x=names, y=promised, name="promised at most", mode="markers", marker=marks), row=1, col=2)
    _bars(figure, runs, [run.store.amplification for run in runs], 2, 1)
    _bars(figure, runs, [run.store.tokens_in_vain for run in runs], 2, 2)
    figure.update_yaxes(tickformat=".0%", row=1)
    figure.update_yaxes(range=[0.9, None], row=2, col=1)
    return figure.update_layout(height=700, margin={"l": 8, "r": 8, "t": 40, "b": 8})


def _bars(figure: Any, runs: Sequence[Run], values: Sequence[float], row: int, col: int) -> None:
    bars = go.Bar(x=[run.name for run in runs], y=list(values), marker_color=list(COLOURS[: len(runs)]), showlegend=False)
    figure.add_trace(bars, row=row, col=col)
