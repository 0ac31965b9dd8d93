"""Who calls whom: services, and hops coloured by how their calls are protected."""

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from .chain import Grading, call_graph
from .theme import COLOURS, GREY

_MUTUAL, _PLAIN = (COLOURS[0], "mutual TLS, as far as told"), (COLOURS[5], "some without a certificate")
_UNTOLD = (GREY, "not told")


def _protection(row: Mapping[str, Any]) -> tuple[str, str]:
    colour, _ = _PLAIN if row["plain"] else _MUTUAL if row["mutual"] else _UNTOLD
    untold = row["calls"] - row["mutual"] - row["plain"]
    return colour, f"{row['mutual']:,} mutual TLS, {row['plain']:,} plain, {untold:,} not told"


PROTECTION: Final = Grading(tuple((name, colour) for colour, name in (_MUTUAL, _PLAIN, _UNTOLD)), _protection)


def who_calls_whom(hops: pl.DataFrame) -> go.Figure:
    """The call graph by protection. hops: hop, caller, callee, calls, mutual, plain, label."""
    return call_graph(hops, PROTECTION)
