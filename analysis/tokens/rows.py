"""The calls of which tokens and times are known: to the last token that was seen, also where they were cut."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from meshslo.analysis.streams import outermost
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import WORDS
from meshslo.telemetry.vocabulary import CENSORED

KEYS: Final = tuple(sorted(WORDS - {"vantage", "outcome"}))
"""What groups may be told apart by."""

_CUT: Final = pl.col("outcome").is_in(sorted(CENSORED))
_OK: Final = pl.col("outcome") == "ok"
# An answer in one piece has its first token with its last: that is no time of a token.
_IN_PIECES: Final = pl.coalesce(pl.col("chunks") > 1, pl.col("streaming"), pl.lit(value=True))
_STREAMED: Final = pl.col("first_token_s").is_not_null() & (pl.col("tokens") > 1.0) & pl.col("in_pieces")


def token_rows(calls: pl.LazyFrame, by: Sequence[str]) -> pl.DataFrame:
    """Calls that ended ok or were cut, of models, each hop from the outermost vantage that knows tokens.

    Columns: `by`, start, weight, cut, tokens (output; null where nobody knows), input_tokens (null likewise), total_s (until
    the end, or the last token of a cut call), first_token_s, per_token_s (of streams: mean time of a token after the first).
    A cut stream that only counted chunks has as many tokens to a chunk as the finished streams of its group and model.
    BadInputError for keys that calls do not have.
    """
    wrong = [key for key in by if key not in KEYS]
    if wrong or not by:
        raise BadInputError(f"not keys of calls: {', '.join(wrong) or '(none)'}; there are {', '.join(KEYS)}")
    known = pl.col("output_tokens").is_not_null() | pl.col("chunks").is_not_null()
    chosen = outermost(calls.filter(pl.col("model").is_not_null()), known.any())
    keys = list(dict.fromkeys([*by, "model"]))
    both = _OK & pl.col("output_tokens").is_not_null() & (pl.col("chunks") > 1)
    per_chunk = (pl.col("output_tokens").filter(both).sum() / pl.col("chunks").filter(both).sum()).over(keys)
    tokens = pl.coalesce(pl.col("output_tokens").cast(pl.Float64), pl.col("chunks") * per_chunk.fill_nan(None).fill_null(1.0))
    seen_s = pl.col("duration_s").fill_nan(None) - pl.when(_CUT).then(pl.coalesce("open_gap_s", pl.lit(0.0))).otherwise(0.0)
    per_token_s = (pl.col("total_s") - pl.col("first_token_s")) / (pl.col("tokens") - 1.0)
    return (
        chosen.filter(_OK | _CUT)
        .select(
            *keys,
            "start",
            pl.col("weight").fill_null(1.0),
            _CUT.alias("cut"),
            tokens.alias("tokens"),
            pl.col("input_tokens").cast(pl.Float64),
            seen_s.alias("total_s"),
            "first_token_s",
            _IN_PIECES.alias("in_pieces"),
        )
        .with_columns(pl.when(_STREAMED).then(per_token_s.clip(0.0)).alias("per_token_s"))
        .collect()
    )
