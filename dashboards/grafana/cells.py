"""What a panel asks of rollups kept in ClickHouse (`meshslo clickhouse-init`), as SQL for Grafana's ClickHouse plugin.

A table of cells holds, by minute, vantage, hop, route, model, tenant, phase and ending, how many calls fell into each bucket of
the histogram. Time is written with Grafana's own variables; `$__interval_s` and `$__conditionalAll` are the plugin's macros.
"""

from collections.abc import Sequence
from typing import Final

from meshslo.analysis import histogram
from meshslo.analysis.clickhouse_cells import CELLS as TABLE
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.rollup import KEYS
from meshslo.telemetry.clickhouse.sql import listed, literal
from meshslo.telemetry.store.metrics import Measure
from meshslo.telemetry.vocabulary import VANTAGES, Outcome, Phase

from .datasources import CLICKHOUSE, Filter
from .expressions import RANGE, RATE, CannotExpressError, Expressions, Setting

_CELLS: Final = "${cells:raw}"
_FROM_NS: Final = "toInt64(${__from}) * 1000000"
_TO_NS: Final = "toInt64(${__to}) * 1000000"
_STEP_S: Final = "greatest($__interval_s, 60)"
"""Cells are kept by the minute."""

_SECONDS: Final = {RATE: _STEP_S, RANGE: "((${__to} - ${__from}) / 1000)"}
_TIMED: Final = "(event OR censored) AND isNotNull(index)"
_COUNT: Final = "sum(count)"


class Cells(Expressions):
    """The expressions of a table of cells."""

    def __init__(self) -> None:
        """Those of the table that a reader names."""
        super().__init__("clickhouse", "rollups that meshslo keeps in ClickHouse", _NOTES, CLICKHOUSE)
        self.filters = tuple(Filter(key, None, f"k_{key}", _CELLS) for key in KEYS)
        self.texts = {"cells": TABLE}

    def calls(self, *by: str, window: str = RATE) -> str:
        """Calls a second."""
        return _grouped(f"sum(weight) / {_SECONDS[window]}", by, window)

    def outcomes(self) -> str:
        """Calls a second by how they ended."""
        return _grouped(f"sum(weight) / {_STEP_S}", ("outcome",), RATE)

    def share(self, outcomes: Sequence[Outcome], *by: str, window: str = RATE) -> str:
        """The share of calls that ended in one of `outcomes`, 0 to 1."""
        return _grouped(f"sumIf(weight, outcome IN {listed(outcomes)}) / sum(weight)", by, window)

    def quantile(self, q: float, phase: Phase, *by: str, window: str = RATE) -> str:
        """The upper edge of the bucket that the quantile lies in, where the window has enough calls to say so."""
        return _quantile(q, phase, by, window, f"{_COUNT} >= {calls_needed(q)}")

    def few(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile where the window has too few calls: among the largest seen, it says little of the next ones."""
        return _quantile(q, phase, by, RATE, f"{_COUNT} < {calls_needed(q)}")

    def at_least(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile only where more calls were cut than lie above it: any of them may have lasted longer."""
        hidden = f"sumIf(weight, censored) > {1 - q:.10g} * sum(weight)"
        return _quantile(q, phase, by, RATE, f"{_COUNT} >= {calls_needed(q)} AND {hidden}")

    def counted(self, phase: Phase, window: str = RANGE) -> str:
        """How many calls of the window were timed."""
        return _grouped(_COUNT, (), window, phase, _TIMED)

    def mean(self, phase: Phase, *by: str) -> str:
        """Mean seconds of calls that were answered or cut."""
        return _grouped(f"sum(sum_s) / {_COUNT}", by, RATE, phase, _TIMED)

    def in_progress(self) -> str:
        """Calls in progress on average, by Little's law: the seconds that calls took, a second; each counts where it began."""
        return _grouped(f"sum(sum_s) / {_STEP_S}", (), RATE, "total", _TIMED)

    def events(self, measure: Measure, *by: str) -> str:
        """Events a second: of timeouts only, which are outcomes."""
        if measure != "timeouts":
            self._cannot(f"count of {measure.replace('_', ' ')}")
        return _grouped(f"sumIf(weight, outcome = 'timeout') / {_STEP_S}", by, RATE)

    def settings(self, settings: Sequence[Setting]) -> str:
        """The values, from the beginning of the picture to its end, of those hops that have calls."""
        rows = ", ".join(
            f"({literal(each.hop)}, {literal(each.target)}, {literal(each.setting)}, toFloat64({each.value:.10g}))"
            for each in settings
        )
        ends = f"arrayJoin([fromUnixTimestamp64Nano({_FROM_NS}), fromUnixTimestamp64Nano({_TO_NS})])"
        return (
            f"SELECT {ends} AS time, line.1 AS hop, line.2 AS target, line.3 AS setting, line.4 AS value\n"
            f"FROM (SELECT arrayJoin([{rows}]) AS line)\n"
            f"WHERE hop IN (SELECT k_hop FROM {_CELLS} WHERE {_WITHIN})\nORDER BY time"
        )


_NOTES: Final = (
    (
        "Quantiles are of calls answered or cut, a cut call ending when it was cut. Marks say where more were cut than lie "
        "above the quantile: there it is a lower bound"
    ),
    f"A quantile is the upper edge of its bucket, at most {100 * (2.0**2.0**-histogram.SCALE - 1):.1f} % too high",
    "Minutes are counted once they are five minutes old: the newest are not there yet",
)

_CHOSEN: Final = " AND ".join(f"$__conditionalAll(k_{key} IN (${{{key}:singlequote}}), ${key})" for key in KEYS)
_WITHIN: Final = f"start >= {_FROM_NS} AND start < {_TO_NS} AND {_CHOSEN}"


def _quantile(q: float, phase: Phase, by: Sequence[str], window: str, having: str) -> str:
    weight = "toUInt64(round(1000 * weight))"  # whole numbers are what the function takes
    index = f"quantileExactWeighted({q:.10g})(assumeNotNull(index), {weight})"
    return _grouped(f"exp2(({index} + 1) / {2**histogram.SCALE})", by, window, phase, _TIMED, having)


def _grouped(
    value: str, by: Sequence[str], window: str, phase: Phase = "total", condition: str = "1", having: str = "1"
) -> str:
    """`value` of each hop, vantage and `by`, of each step of the picture unless `window` is all of it."""
    missing = [key for key in by if key not in (*KEYS, "outcome")]
    if missing:
        raise CannotExpressError(f"clickhouse has no column for the {missing[0]}: cells are kept by {', '.join(KEYS)}")
    words = {key: f"k_{key}" if key in KEYS else key for key in ("hop", "vantage", *by)}
    told = ", ".join(text if text == key else f"{text} AS {key}" for key, text in words.items())
    step_ns = f"({_STEP_S} * 1000000000)"
    time = [] if window == RANGE else [f"fromUnixTimestamp64Nano(intDiv(start, {step_ns}) * {step_ns}) AS time"]
    group = ", ".join([*(["time"] if time else []), *words])
    return (
        f"SELECT {', '.join([*time, told, f'{value} AS value'])}\n"
        f"FROM {_CELLS}\n"
        f"WHERE {_WITHIN} AND phase = {literal(phase)} AND {condition}\n"
        f"  AND (k_hop, vantage) IN ({_outermost(phase)})\n"
        f"GROUP BY {group}\nHAVING {having}\nORDER BY {group}"
    )


def _outermost(phase: Phase) -> str:
    """Hop and vantage, of each hop the outermost that saw the phase, as `Rollup.pick_vantage` has it."""
    rank = f"indexOf([{', '.join(map(literal, VANTAGES))}], vantage)"
    seen = f"SELECT k_hop, vantage, max(event) AS seen, max(censored) AS cut FROM {_CELLS} WHERE {_WITHIN}"
    sides = f"{seen} AND phase = {literal(phase)} GROUP BY k_hop, vantage"
    order = f"(1 - seen, seen = 1 AND vantage = 'metric', 1 - cut, {rank})"
    return f"SELECT k_hop, argMin(vantage, {order}) FROM ({sides}) GROUP BY k_hop"
