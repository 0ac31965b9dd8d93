"""Which calls are the baseline's and which the candidate's: by version of the callee, or by another column."""

from dataclasses import dataclass
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import WORDS
from meshslo.telemetry.vocabulary import VANTAGES

OF_CALLEE: Final = ("version", "pod", "zone", "cluster", "namespace")
"""Columns that name the side that saw the call: of the callee only where that is who saw it."""

CALLEE_SIDE: Final = ("server", "proxy_in")


@dataclass(frozen=True)
class Arms:
    """The two sides: rows whose `key` is `baseline` or `candidate`; of one hop where it is given."""

    key: str
    baseline: str
    candidate: str
    hop: str | None = None


def parse_arms(baseline: str, candidate: str, hop: str | None = None) -> Arms:
    """The sides that two texts name: "v1" is a version, "model=llama-70b" any column of words.

    >>> parse_arms("v1", "v2"), parse_arms("pod=a", "pod=b").key
    (Arms(key='version', baseline='v1', candidate='v2', hop=None), 'pod')
    """
    (key, base), (other, new) = _parted(baseline), _parted(candidate)
    if key != other:
        raise BadInputError(f'baseline "{baseline}" and candidate "{candidate}" differ in their column; name the same for both')
    if key not in WORDS:
        raise BadInputError(f'"{key}" is no column of words; there are {", ".join(sorted(WORDS))}')
    if base == new:
        raise BadInputError(f'baseline and candidate are both "{baseline}"; name two different ones')
    return Arms(key, base, new, hop)


def _parted(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    return (key, value) if separator else ("version", text)


def tells(key: str) -> pl.Expr:
    """Whether a row says its `key`, and of the callee where the column names the side that saw the call."""
    said = pl.col(key).is_not_null()
    return said & pl.col("vantage").cast(pl.String).is_in(CALLEE_SIDE) if key in OF_CALLEE else said


def select_arms(calls: pl.LazyFrame, arms: Arms) -> pl.DataFrame:
    """The calls of both sides with `is_candidate`, each hop from the vantage that tells most.

    Raises BadInputError naming what there is where a side has no calls.
    """
    here = calls if arms.hop is None else calls.filter(pl.col("hop") == arms.hop)
    here = here.filter(tells(arms.key))
    sides = here.filter(pl.col(arms.key).is_in([arms.baseline, arms.candidate])).collect()
    for side in (arms.baseline, arms.candidate):
        if sides.filter(pl.col(arms.key) == side).is_empty():
            raise BadInputError(f"no calls with {arms.key} {side}{_seen(here, arms.key)}")
    rank = pl.col("vantage").cast(pl.Enum(VANTAGES)).to_physical()
    shows = pl.col("first_token_s").is_not_null().any().over("hop", "vantage")
    told = sides.with_columns(rank.alias("rank"), shows.alias("shows"))
    best = pl.col("vantage").sort_by("shows", "rank", descending=[True, False]).first().over("hop")
    return told.filter(pl.col("vantage") == best).with_columns(is_candidate=pl.col(arms.key) == arms.candidate)


def _seen(calls: pl.LazyFrame, key: str) -> str:
    there = calls.select(pl.col(key).drop_nulls().unique().sort()).collect()[key].to_list()
    if not there:
        return f"; no callee's calls say their {key} (for versions: service.version, or Istio's canonical revision)"
    return f"; there are {', '.join(map(str, there[:12]))}"
