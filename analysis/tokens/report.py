"""What `meshslo tokens` says: for each hop and model the time per token, the line through totals, a timeout for max_tokens."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis.answer import Answer
from meshslo.analysis.config import Config
from meshslo.analysis.deadlines import hidden_cuts
from meshslo.analysis.quantile import Interval, Quantile
from meshslo.analysis.resampling import time_blocks
from meshslo.analysis.survival import LifeTable

from .fit import Fit, fit, fit_streams
from .rows import token_rows
from .timeout import TokenTimeout, timeout_for_tokens

SCHEMA: Final = "meshslo.tokens/1"
BY: Final = ("hop", "model")

MOST_OFF_THE_LINE: Final = 0.05
"""Where more of the calls were cut and show no time per token, the line is that of the quicker ones."""

MOST_FITTED: Final = 50_000
"""More calls make a line no surer; of more, every so-many-th in time is taken."""


@dataclass(frozen=True)
class PerToken:
    """One group: calls in the estimates, of these cut; off_the_line: cut calls that show no time per token.

    per_token: of streams, by quantile, seconds a token after the first. base_s, per_output_token_s, per_input_token_s: the line
    total = base + output tokens x time + input tokens x time, with intervals; None where there is none. survivors: too many
    calls are off the line, so that it is too low. timeout: where the config knows the model's max_tokens.
    """

    target: dict[str, str | None]
    calls: int
    cut: int
    off_the_line: int
    per_token: tuple[Quantile, ...]
    base_s: Interval | None
    per_output_token_s: Interval | None
    per_input_token_s: Interval | None
    survivors: bool
    timeout: TokenTimeout | None
    line: Fit | None = field(repr=False, compare=False, default=None)


@dataclass(frozen=True)
class TokenTimes(Answer):
    """Every group that knows tokens, in order. notes: which calls count as cut although nothing says so."""

    items: tuple[PerToken, ...]
    quantiles: tuple[float, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The JSON that `meshslo tokens --output json` prints."""
        items = [{name: value for name, value in _plain(item).items() if name != "line"} for item in self.items]
        document = {"schema": SCHEMA, "quantiles": list(self.quantiles), "items": items, "notes": list(self.notes)}
        return json.dumps(document, indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a group: keys, counts, time per token by quantile, the line's coefficients with their ends, the timeout."""
        return pl.DataFrame([self._row(item) for item in self.items], infer_schema_length=None)

    def _row(self, item: PerToken) -> dict[str, Any]:
        row: dict[str, Any] = {**item.target, "calls": item.calls, "cut": item.cut, "off_the_line": item.off_the_line}
        for q, quantile in zip(self.quantiles, item.per_token, strict=True):
            row |= {f"per_token_p{100 * q:g}_{end}": getattr(quantile, end) for end in ("value_s", "low_s", "high_s")}
        for name in ("base_s", "per_output_token_s", "per_input_token_s"):
            row |= {f"{name}_{end}": getattr(getattr(item, name), end, None) for end in ("estimate", "low", "high")}
        return row | {"survivors": item.survivors, "timeout_s": item.timeout.value_s if item.timeout else None}


def _plain(item: PerToken) -> dict[str, Any]:
    return {
        name: asdict(value) if isinstance(value, (Interval, TokenTimeout)) else value for name, value in vars(item).items()
    } | {"per_token": [asdict(quantile) for quantile in item.per_token]}


def token_times(
    calls: pl.LazyFrame,
    config: Config | None = None,
    *,
    by: Sequence[str] = BY,
    quantiles: Sequence[float] = (0.5, 0.95, 0.99),
    confidence: float = 0.95,
) -> TokenTimes:
    """Times by tokens of each group `by` of `calls` (rows of `telemetry.schema`) whose model and tokens are known."""
    calls, piles = hidden_cuts(calls)
    rows = token_rows(calls, by)
    groups = rows.partition_by(list(by), as_dict=True)
    asked = tuple(quantiles)
    found = [
        _group(dict(zip(by, key, strict=True)), part, config or Config(), asked, confidence)
        for key, part in sorted(groups.items(), key=str)
        if (part["tokens"] > 1.0).any()
    ]
    return TokenTimes(tuple(found), asked, tuple(map(str, piles)))


def _group(
    target: dict[str, str | None], rows: pl.DataFrame, config: Config, quantiles: tuple[float, ...], confidence: float
) -> PerToken:
    streams = rows.filter(pl.col("per_token_s").is_not_null())
    table = LifeTable.from_durations(streams["per_token_s"].to_numpy(), weights=streams["weight"].to_numpy())
    off = rows.filter("cut", pl.col("per_token_s").is_null()).height
    line = line_of(rows)
    ends = (None,) * 3 if line is None else tuple(line.coefficient(place, confidence) for place in range(3))
    models = rows["model"].unique().to_list()
    known = config.models.get(models[0]) if len(models) == 1 else None
    budget = config.false_timeout_ratio(target.get("hop") or "")
    return PerToken(
        target=target,
        calls=rows.height,
        cut=int(rows["cut"].sum()),
        off_the_line=off,
        per_token=tuple(table.quantile(q, confidence) for q in quantiles),
        base_s=ends[0],
        per_output_token_s=ends[1],
        per_input_token_s=ends[2],
        survivors=off > MOST_OFF_THE_LINE * rows.height,
        timeout=timeout_for_tokens(rows, known.max_tokens, budget, config.objectives.confidence)
        if known is not None and known.max_tokens
        else None,
        line=line,
    )


def line_of(rows: pl.DataFrame) -> Fit | None:
    """The line of one group's rows: of its streams where these are most of it, else of the calls that ended."""
    streams = rows.filter(pl.col("per_token_s").is_not_null())
    ended = rows.filter(~pl.col("cut"), pl.col("total_s").is_not_null(), pl.col("tokens") > 0.0)
    chosen = streams if 2 * streams.height >= ended.height else ended
    chosen = chosen.sort("start").gather_every(max(1, -(-chosen.height // MOST_FITTED)))
    # Where some calls do not say how much was asked, it is left out of the line.
    asked = np.zeros(chosen.height) if chosen["input_tokens"].null_count() else chosen["input_tokens"].to_numpy()
    weight, block = chosen["weight"].to_numpy(), time_blocks(chosen["start"])
    if 2 * streams.height >= ended.height:
        return fit_streams(chosen["first_token_s"].to_numpy(), chosen["per_token_s"].to_numpy(), asked, weight, block)
    return fit(chosen["total_s"].to_numpy(), chosen["tokens"].to_numpy(), asked, weight, block)
