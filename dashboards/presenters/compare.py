"""A comparison: what moved and what did not, relative to the first side."""

from typing import TYPE_CHECKING

from meshslo.analysis.comparison import Compared
from meshslo.analysis.comparison.result import Difference
from meshslo.dashboards.commands.compare import change_text, show, what_texts

from . import Presenter

if TYPE_CHECKING:
    import plotly.graph_objects as go


def figure(answer: Compared) -> "go.Figure | None":
    """Each difference as a share of the first side's value; those without an estimate are left to the table."""
    import polars as pl

    from meshslo.dashboards.figures import differences

    told = zip(what_texts(answer), answer.differences, strict=True)
    rows = [row for what, each in told if (row := _row(what, each)) is not None]
    if not rows:
        return None
    numbers = dict.fromkeys(("estimate", "low", "high"), pl.Float64())
    return differences(pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None), answer.a)


def _row(what: str, each: Difference) -> dict[str, object] | None:
    if not each.a.value or each.estimate is None:
        return None
    ends = {name: None if (end := getattr(each, name)) is None else end / each.a.value for name in ("low", "high")}
    return {
        "name": what,
        "estimate": each.estimate / each.a.value,
        **ends,
        "verdict": each.verdict,
        "text": f"{change_text(each)}, {each.verdict.replace('_', ' ')}",
    }


PRESENTER = Presenter(Compared, show, figure)
