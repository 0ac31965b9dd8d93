"""The chain by what was promised: services, and hops coloured by how their objectives stand."""

from collections.abc import Mapping
from typing import Any, Final

import plotly.graph_objects as go
import polars as pl

from .budgets import STATUS_COLOURS
from .chain import Grading, call_graph
from .theme import GREY


def _promise(row: Mapping[str, Any]) -> tuple[str, str]:
    return STATUS_COLOURS.get(row["status"] or "", GREY), "<br>".join(row["promises"]) or "no objective"


PROMISE: Final = Grading(
    (*((f"objectives {status}", colour) for status, colour in STATUS_COLOURS.items()), ("none, or no calls of it", GREY)),
    _promise,
)


def promised_chain(hops: pl.DataFrame) -> go.Figure:
    """The call graph by objectives.

    hops: hop, caller, callee, calls, label, status (of the worst; null where there is none), promises (how each stands).
    """
    return call_graph(hops, PROMISE)
