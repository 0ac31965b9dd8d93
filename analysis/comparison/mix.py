"""Slower, or only asked for more? Totals of both sides at one and the same number of tokens."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import polars as pl

from meshslo.analysis.tokens.fit import Fit
from meshslo.analysis.tokens.report import MOST_OFF_THE_LINE, line_of
from meshslo.analysis.tokens.rows import token_rows

from .difference import Limits
from .sides import Side


class AtOneMix(NamedTuple):
    """The lines of both sides, and the tokens at which they are compared: medians of both sides together."""

    target: dict[str, str | None]
    a: Fit
    b: Fit
    output_tokens: float
    input_tokens: float

    def limits(self, side: Fit, confidence: float) -> Limits:
        """What a call of so many tokens typically takes on a side."""
        found = side.total_s(self.output_tokens, self.input_tokens, confidence)
        return Limits(*(np.array([value]) for value in (found.estimate, found.low, found.high)))


def at_one_mix(a: Side, b: Side) -> Iterator[AtOneMix | str]:
    """Each hop and model that both sides have a line of; as a sentence, one of which too many calls were cut for that."""
    keys = ["hop"] if "model" in {*a.conditions, *b.conditions} else ["hop", "model"]
    parts = [token_rows(side.calls, keys).partition_by(keys, as_dict=True) for side in (a, b)]
    for key in sorted(parts[0].keys() & parts[1].keys(), key=str):
        rows = [part[key] for part in parts]
        if not all((each["tokens"] > 1.0).any() for each in rows):
            continue
        name = " ".join(str(word) for word in key)
        if any(_off(each) > MOST_OFF_THE_LINE for each in rows):
            yield f"{name}: too many calls were cut without a time per token to compare totals at one number of tokens"
            continue
        lines = [line_of(each) for each in rows]
        both = pl.concat(rows)
        if lines[0] is not None and lines[1] is not None:
            mix = [float(both[column].median() or 0.0) for column in ("tokens", "input_tokens")]  # type: ignore[arg-type]  # numbers
            target = dict(zip(keys, key, strict=True)) | {"tokens": f"{mix[0]:.0f} out, {mix[1]:.0f} in"}
            yield AtOneMix(target, lines[0], lines[1], *mix)


def _off(rows: pl.DataFrame) -> float:
    return rows.filter("cut", pl.col("per_token_s").is_null()).height / max(rows.height, 1)
