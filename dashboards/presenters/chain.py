"""A chain: which hop takes the time of slow traces."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from meshslo.analysis.paths import Chain
from meshslo.analysis.paths.result import Way
from meshslo.dashboards.commands.chain import show

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Chain) -> "go.Figure | None":
    """The hops' shares of the time of the slowest traces that are enough to tell; None where none are."""
    import polars as pl

    from meshslo.dashboards.figures import path_shares

    rows = [row for way in answer.ways for row in _rows(way, answer.quantiles, several=len(answer.ways) > 1)]
    return path_shares(pl.DataFrame(rows)) if rows else None


def _rows(way: Way, quantiles: tuple[float, ...], *, several: bool) -> Iterator[dict[str, object]]:
    """Of the highest quantile at which there are shares."""
    known = [place for place in range(len(quantiles)) if any(hop.shares[place] is not None for hop in way.hops)]
    keys = [value for value in way.keys.values() if value] if several else []
    for hop in way.hops if known else ():
        share = hop.shares[known[-1]]
        if share is not None:
            name = " ".join([hop.hop, *keys, f"p{100 * quantiles[known[-1]]:g} and slower"])
            yield {"hop": name, **vars(share), "traces": way.slow[known[-1]].traces}


PRESENTER = Presenter(Chain, show, figure)
