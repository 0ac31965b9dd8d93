"""Hops whose calls hang together by the minute, hour or day: where intervals are wide however many calls there are."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from .bursts import BLOCK, LONG, by_minute, largest_effect
from .phases import timed
from .rollup import Rollup
from .tables import life_tables

WORTH_SAYING: Final = 2.0
"""Calls that count for half of their number make an interval 1.4 times as wide."""


@dataclass(frozen=True)
class Bursty:
    """A hop whose calls know as much as fewer independent ones: their number, and by what they count for fewer."""

    hop: str
    vantage: str
    calls: int
    effect: float

    def __str__(self) -> str:
        """The sentence a person can repeat."""
        worth, wider = round(self.calls / self.effect), self.effect**0.5
        return (
            f"its {self.calls:,} calls seen by {self.vantage} hang together by the minute, hour or day and know as much of "
            f"long durations as {worth:,} independent ones: intervals are {wider:.2g} times as wide as their number lets expect"
        )


def bursty_hops(calls: pl.LazyFrame, rollup: Rollup) -> Iterator[Bursty]:
    """Of `calls` (rows of `telemetry.schema`) and their rollup by hop, the hops that count for less than half, in order."""
    picked = rollup.where((pl.col("phase") == "total") & (pl.col("vantage") != "metric")).by(["hop"]).coarsen(None)
    if picked.totals.is_empty():
        return
    groups, tables = life_tables(picked.pick_vantage(), "total")
    seen = groups.select(pl.col("hop"), pl.col("vantage").cast(pl.String)).with_columns(
        limit_s=pl.Series(tables.completed(LONG)), calls=pl.Series(tables.calls)
    )
    value_s, event, censored = timed("total")
    rows = calls.join(seen.lazy().select("hop", "vantage"), on=["hop", "vantage"], how="semi").select(
        "hop",
        pl.col("start").dt.truncate(BLOCK).alias("minute"),
        value_s.alias("value_s"),
        (event | censored).alias("timed"),
        event.alias("event"),
    )
    known = seen.filter(pl.col("limit_s").is_not_nan())
    minutes = by_minute(rows, ["hop"], known.select("hop", "limit_s").rows())
    for hop, vantage, _, count in known.sort("hop").iter_rows():
        effect = largest_effect(minutes[hop,]) if (hop,) in minutes else 1.0
        if effect >= WORTH_SAYING:
            yield Bursty(hop, vantage, count, effect)
