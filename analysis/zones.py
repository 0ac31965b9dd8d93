"""Who calls whom across zones: calls that both of their sides named a zone of, and the matrix of them with its money."""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from .interval import wilson
from .prices import Prices
from .survival import LifeTable

CLIENT_SIDE: Final = ("client", "proxy_out")
CALLEE_SIDE: Final = ("server", "proxy_in")

TAIL: Final = 0.95

DAY_S: Final = 86400.0

MATRIX: Final = pl.Schema(
    {"hop": pl.String(), "from_zone": pl.String(), "to_zone": pl.String(), "calls": pl.Int64()}
    | dict.fromkeys(
        ("first_token_p95_s", "first_token_p95_low_s", "first_token_p95_high_s", "failed_ratio", "failed_low", "failed_high"),
        pl.Float64(),
    )
    | {"cost_per_day": pl.Float64()}
)
"""One row for each hop and pair of zones; a p95 is null where calls are too few for it, a cost where no price is known."""


def zone_pairs(calls: pl.LazyFrame) -> pl.DataFrame:
    """Calls that both sides saw and whose zones both name, as the caller saw them: its row, with `from_zone` and `to_zone`.

    Sides belong together by trace, hop and attempt, where each side has one such row.
    """
    key = ("trace_id", "hop", "attempt")
    named = calls.filter(pl.col("zone").is_not_null() & pl.col("duration_s").is_not_null())

    def side(vantages: tuple[str, ...]) -> pl.LazyFrame:
        return named.filter(pl.col("vantage").is_in(vantages)).sort("vantage").filter(pl.len().over(*key, "vantage") == 1)

    ours = side(CLIENT_SIDE).unique(key, keep="first", maintain_order=True).rename({"zone": "from_zone"})
    theirs = side(CALLEE_SIDE).unique(key, keep="last", maintain_order=True)
    seen = theirs.select(*key, to_zone="zone", callee_pod="pod")
    return ours.join(seen, on=key, how="inner").sort("start", "span_id").collect()


def zone_matrix(pairs: pl.DataFrame, prices: Prices, window_s: float, confidence: float) -> pl.DataFrame:
    """`MATRIX` of calls from `zone_pairs`; intervals at `confidence`, money a day as the calls of `window_s` cost.

    Money is of these calls alone, so a lower bound where not every call named both of its zones.
    """
    cells = pairs.partition_by("hop", "from_zone", "to_zone", as_dict=True)
    days = max(window_s, 1.0) / DAY_S
    rows = [_cell(key, cell, prices, days, confidence) for key, cell in sorted(cells.items(), key=lambda item: str(item[0]))]
    return pl.DataFrame(rows, schema=MATRIX, orient="row")


def _cell(key: tuple[Any, ...], cell: pl.DataFrame, prices: Prices, days: float, confidence: float) -> tuple[Any, ...]:
    hop, from_zone, to_zone = map(str, key)
    failed = wilson(int((cell["outcome"] == "error").sum()), cell.height, confidence)
    price = prices.crossing(from_zone, to_zone)
    cost = None if price is None else price * float(cell["weight"].fill_null(1.0).sum()) / days
    waits = tuple(_p95(cell["first_token_s"].drop_nulls(), confidence))
    return hop, from_zone, to_zone, cell.height, *waits, failed.estimate, failed.low, failed.high, cost


def _p95(waits_s: pl.Series, confidence: float) -> Iterator[float | None]:
    found = LifeTable.from_durations(waits_s.to_numpy()).quantile(TAIL, confidence)
    yield from (found.value_s, found.low_s, found.high_s) if found.status == "ok" else (None, None, None)
