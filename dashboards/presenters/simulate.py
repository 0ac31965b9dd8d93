"""A simulation: the chain and its hops, now and under the proposal."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from meshslo.analysis.simulate import Simulation
from meshslo.dashboards.commands.simulate import NAMES, show, side_names

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go

DRAWN: Final = ("streams_cut_ratio", "cut_ratio", "success_ratio")


def figure(answer: Simulation) -> "go.Figure":
    """What is cut and what succeeds, of the chain and of each row."""
    import polars as pl

    from meshslo.dashboards.figures import what_if

    numbers = dict.fromkeys(("value", "low", "high"), pl.Float64())
    schema = {"name": pl.String(), "side": pl.String(), **numbers}
    return what_if(pl.DataFrame(list(_rows(answer)), schema=schema), side_names(answer))


def _rows(answer: Simulation) -> Iterator[dict[str, object]]:
    parts = [("chain", answer.chain)]
    parts += [(" ".join(value for value in row.keys.values() if value), row.figures) for row in answer.rows]
    for title, figures in parts:
        for name in DRAWN:
            if name in figures and figures[name].after.status != "not_seen":
                sides = zip(side_names(answer), (figures[name].before, figures[name].after), strict=True)
                for side, known in sides:
                    ends = {"value": known.value, "low": known.low, "high": known.high}
                    yield {"name": f"{title}: {NAMES[name]}", "side": side, **ends}


PRESENTER = Presenter(Simulation, show, figure)
