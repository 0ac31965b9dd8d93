"""When a call began, however a log writes it."""

from typing import Final

import polars as pl
import pyarrow as pa

_ZONED: Final = "%Y-%m-%dT%H:%M:%S%.f%#z"
_NAIVE: Final = "%Y-%m-%dT%H:%M:%S%.f"

# An epoch number tells its unit by its size: seconds stay below 1e11 until 5138, milliseconds are above it from 1973 on.
_NS_PER: Final = ((1e11, 1e9), (1e14, 1e6), (1e17, 1e3))


def moments(column: pl.Series) -> pl.Series:
    """`column` as UTC nanoseconds (Datetime); null where it is no time.

    Read are times of any kind, ISO 8601 with or without zone (none means UTC), and epoch seconds, milliseconds, microseconds or
    nanoseconds, told apart by size.
    """
    kind = column.dtype
    if isinstance(kind, pl.Datetime):
        utc = column.dt.convert_time_zone("UTC") if kind.time_zone else column.dt.replace_time_zone("UTC")
        return utc.cast(_UTC)
    if kind.is_numeric():
        return _of_epoch(column)
    text = column.cast(pl.String)
    if (plain := plain_moments(text)) is not None:
        return plain
    # Most logs write one form: each further one is tried only where something is left.
    found = _zoned(text)
    for read in (_naive, _of_epoch):
        if found.null_count() == text.null_count():
            break
        found = found.zip_with(found.is_not_null(), read(text))
    return found


_UTC: Final = pl.Datetime("ns", "UTC")
# Nanoseconds since 1970 in 64 bits end in April 2262; a parser that is given more wraps around.
_YEARS: Final = r"^\s*(?:19[7-9]\d|2[01]\d\d|22[0-5]\d)-"


def plain_moments(text: pl.Series) -> pl.Series | None:
    """Texts that are all ISO 8601 with a zone, by a parser that knows nothing else and is ten times as fast; else None."""
    try:
        return pl.Series(text.name, text.to_arrow().cast(pa.timestamp("ns", "UTC")), dtype=_UTC)
    except pa.ArrowInvalid:
        return None


def _zoned(text: pl.Series) -> pl.Series:
    text = _within(text)
    found = text.str.to_datetime(_ZONED, time_unit="ns", time_zone="UTC", strict=False)
    if found.null_count() == text.null_count():
        return found
    return found.zip_with(
        found.is_not_null(), _iso(text).str.to_datetime(_ZONED, time_unit="ns", time_zone="UTC", strict=False)
    )


def _naive(text: pl.Series) -> pl.Series:
    return _iso(_within(text)).str.to_datetime(_NAIVE, time_unit="ns", strict=False).dt.replace_time_zone("UTC")


def _within(text: pl.Series) -> pl.Series:
    """Null where the year is beyond what nanoseconds reach."""
    return text.set(~text.str.contains(_YEARS), None)


def _iso(text: pl.Series) -> pl.Series:
    """With a T between date and time, minutes and seconds, and Z for UTC."""
    return (
        text.str.strip_chars()
        .str.replace(r"^(\d{4}-\d\d-\d\d)[ ](\d)", "${1}T${2}")
        .str.replace(r" ?UTC$", "Z")
        .str.replace(r"T(\d\d)(Z|[+-]|$)", "T${1}:00${2}")
        .str.replace(r"T(\d\d:\d\d)(Z|[+-]|$)", "T${1}:00${2}")
    )


def _of_epoch(number: pl.Series) -> pl.Series:
    """Epoch numbers; whole ones are exact to the nanosecond, others to a microsecond (a float has no more digits)."""
    value, whole = pl.col("number").cast(pl.Float64, strict=False), pl.col("number").cast(pl.Int64, strict=False)
    scale = pl.lit(1.0)
    for limit, factor in reversed(_NS_PER):
        scale = pl.when(value < limit).then(factor).otherwise(scale)
    within = value.is_finite() & (value > 0) & (value * scale < 2.0**63)
    rounded = pl.when(within).then((value * scale / 1e3).round()).cast(pl.Int64) * 1000
    exact = pl.when(within & (value == value.round())).then(whole * scale.cast(pl.Int64))
    ns = number.to_frame("number").select(start=pl.coalesce(exact, rounded))["start"]
    return pl.from_epoch(ns, time_unit="ns").dt.replace_time_zone("UTC").alias(number.name)
