"""How fast streams deliver their tokens."""

from typing import Any

import plotly.graph_objects as go
import polars as pl

from .quantiles import SYMBOLS
from .theme import colours, faded, log_axis, named, styled


def rate_dots(rates: pl.DataFrame, key: str) -> go.Figure:
    """For each group a dot at each rate, with its interval. rates: the `key`, q, tokens_per_s, low, high, status, streams.

    A rate of status `at_least` is an upper bound: slower streams were cut.
    """
    figure = go.Figure()
    shares = rates["q"].unique().sort().to_list()
    by_share = colours(f"{100 * (1 - share):g} % are faster" for share in shares)
    for share, (name, colour) in zip(shares, by_share.items(), strict=True):
        figure.add_trace(_dots(rates.filter((pl.col("q") == share) & pl.col("tokens_per_s").is_not_null()), key, name, colour))
    names = list(dict.fromkeys(named(rates[key].to_list())))
    figure.update_yaxes(categoryorder="array", categoryarray=names[::-1], type="category", title=None)
    ends = [value for column in ("low", "tokens_per_s", "high") for value in rates[column]]
    figure.update_xaxes(**log_axis(ends, "tokens a second", _number))
    return styled(figure, height=130 + 34 * len(names))


def _dots(rows: pl.DataFrame, key: str, name: str, colour: str) -> go.Scatter:
    above, below = pl.col("high") - pl.col("tokens_per_s"), pl.col("tokens_per_s") - pl.col("low")
    ends = rows.select(above.fill_null(0.0).clip(0.0).alias("above"), below.fill_null(0.0).clip(0.0).alias("below"))
    return go.Scatter(
        x=rows["tokens_per_s"].to_list(),
        y=named(rows[key].to_list()),
        name=name,
        mode="markers",
        marker={"color": colour, "size": 10, "symbol": [SYMBOLS[status] for status in rows["status"]]},
        error_x={
            "array": ends["above"].to_list(),
            "arrayminus": ends["below"].to_list(),
            "color": faded(colour, 0.6),
            "thickness": 2,
            "width": 4,
        },
        text=[rate_text(row) for row in rows.iter_rows(named=True)],
        hovertemplate="%{y} " + name + ": %{text}<extra></extra>",
    )


def rate_text(row: dict[str, Any]) -> str:
    """A rate with its interval, or what is known instead.

    >>> rate_text({"tokens_per_s": 31.23, "low": 29.9, "high": 32.0, "status": "ok"})
    '31.2/s (29.9 to 32)'
    >>> rate_text({"tokens_per_s": 1234.5, "low": 1200.0, "high": None, "status": "ok"})
    '1,234/s (1,200 to ?)'
    >>> rate_text({"tokens_per_s": None, "status": "not_identifiable", "needs_calls": 49})
    'needs 49 more streams'
    """
    if row["status"] == "not_identifiable":
        return f"needs {row['needs_calls']:,} more streams"
    if row["status"] == "at_least":
        return f"<= {_number(row['tokens_per_s'])}/s"
    low, high = ("?" if row[end] is None else _number(row[end]) for end in ("low", "high"))
    return f"{_number(row['tokens_per_s'])}/s ({low} to {high})"


def _number(rate: float) -> str:
    return f"{rate:.3g}" if rate < 999.5 else f"{rate:,.0f}"
