"""Tables of somebody's calls to call rows: columns named, values read, each row that cannot be one refused with its reason."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import COLUMNS, FRAME, WORDS
from meshslo.telemetry.vocabulary import OUTCOMES, VANTAGES

from .column_map import SECONDS_COLUMNS, SECONDS_PER, ColumnMap, Target, nearest_column
from .completing import complete
from .identity import Identifier, lacks_ids
from .tally import Tally
from .times import moments, plain_moments
from .words import Coding, Meaning, coded, respelled

Lines = npt.NDArray[np.int64]

_ID_BYTES: Final = {"trace_id": 16, "span_id": 8, "parent_span_id": 8}
_PHASES: Final = ("duration_s", "first_byte_s", "first_token_s")
_TRUE: Final = ("true", "1", "yes", "t")
_FALSE: Final = ("false", "0", "no", "f")
_NOTHING: Final = ("", "-", "null", "NULL", "None", "NaN", "nan", "N/A")
_TOLD: Final = 5


@dataclass(frozen=True)
class CallTable:
    """Reads the tables of one file, whose columns a `ColumnMap` explains; what it refuses goes to the tally with its line."""

    columns: ColumnMap
    tally: Tally
    coding: Coding = field(default_factory=Coding)
    identifier: Identifier = field(default_factory=Identifier)

    def check(self, names: list[str]) -> dict[str, Target]:
        """File column -> target of the columns that are read.

        BadInputError names those that nobody knows, a target that two columns or a constant claim, and what is missing.
        """
        unknown = [name for name in names if name not in self.columns.renamed and name not in COLUMNS]
        if unknown:
            raise BadInputError(self._unknown(unknown))
        targets = {name: target for name in names if (target := self.columns.target(name))}
        claimed = [target.column for target in targets.values()]
        twice = sorted({column for column in claimed if claimed.count(column) > 1})
        if twice:
            raise BadInputError(f"{self.tally.name}: two columns become {twice[0]}; leave one out with --map COLUMN=")
        fixed = sorted(set(claimed) & set(self.columns.constants))
        if fixed:
            source = next(name for name, target in targets.items() if target.column == fixed[0])
            raise BadInputError(
                f"{self.tally.name}: {fixed[0]} is given by --set and by the column {source}; leave one out (--map {source}=)"
            )
        missing = [name for name in ("start", "duration_s") if name not in {*claimed, *self.columns.constants}]
        if missing:
            raise BadInputError(
                f"{self.tally.name}: no column {' and no column '.join(missing)} among {', '.join(names)}; "
                f"say which it is, such as --map latency_ms=duration_s"
            )
        return targets

    def _unknown(self, names: list[str]) -> str:
        """What to do about columns that nobody knows."""
        maps = [f"--map {name}={_meant(name)}" for name in names]
        allowed = f"; allowed are {', '.join(COLUMNS)}" if any(each.endswith("=NAME") for each in maps) else ""
        return (
            f"{self.tally.name}: unknown column{'s' * (len(names) > 1)} {', '.join(names)}{allowed}. "
            f"Rename with {' '.join(maps)}, leave out with --map {names[0]}="
        )

    def read(self, table: pl.DataFrame, targets: Mapping[str, Target], lines: Lines) -> pl.DataFrame:
        """The call rows of `table`, whose row i stood at `lines[i]`."""
        given = self._given(table, targets)
        raw, parsed = self._values(given, targets)
        bad = _bad(raw, parsed)
        if not bad.any():
            return self._taken(parsed, lines)
        self._refuse(given, parsed, lines, np.flatnonzero(bad.to_numpy()))
        return self._taken(parsed.filter(~bad), lines[~bad.to_numpy()])

    def read_sound(self, table: pl.DataFrame, targets: Mapping[str, Target], lines: Lines) -> pl.DataFrame | None:
        """What `read` gives; None, and nothing is told to the tally, where it would refuse a row."""
        raw, parsed = self._values(self._given(table, targets), targets)
        return None if _bad(raw, parsed).any() else self._taken(parsed, lines)

    def types(self, names: list[str], targets: Mapping[str, Target]) -> pl.Schema:
        """What sound values of a file's columns can be read as, so that `read` gives what it gives of the same as text."""
        columns = {name: targets[name].column if name in targets else "" for name in names}
        return pl.Schema({name: self._type(column) for name, column in columns.items()})

    def _type(self, column: str) -> pl.DataType:
        if column in WORDS:
            return self.coding[column]
        return pl.Float64() if column in FRAME and FRAME[column].is_numeric() else pl.String()

    def _given(self, table: pl.DataFrame, targets: Mapping[str, Target]) -> pl.DataFrame:
        given = table.select(pl.col(name).alias(target.column) for name, target in targets.items())
        return given.with_columns(**{name: pl.lit(value) for name, value in self.columns.constants.items()})

    def _values(self, given: pl.DataFrame, targets: Mapping[str, Target]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What the columns say, and that in the types of a call row."""
        raw = given.select(_said(column, self.coding) for column in given)
        factors = {target.column: target.factor for target in targets.values()}
        return raw, raw.select(_parsed(column, factors.get(column.name, 1.0)) for column in raw)

    def _taken(self, rows: pl.DataFrame, lines: Lines) -> pl.DataFrame:
        self.tally.take(rows.height, lacks_ids(rows))
        calls = complete(rows, lines, self.coding, self.identifier)
        self.coding.renew()
        return calls

    def _refuse(self, given: pl.DataFrame, parsed: pl.DataFrame, lines: Lines, places: npt.NDArray[np.int64]) -> None:
        """Tell the tally which rows cannot be calls, and of the first ones why."""
        for place in places[:_TOLD].tolist():
            self.tally.refuse(int(lines[place]), _reason(given.row(place, named=True), parsed.row(place, named=True)))
        self.tally.refuse(int(lines[places[-1]]), "and others", max(len(places) - _TOLD, 0))


def _bad(raw: pl.DataFrame, parsed: pl.DataFrame) -> pl.Series:
    """Which rows cannot be calls."""
    faulty = [pl.col(name).is_null() & raw[name].is_not_null() for name in parsed.columns if parsed[name].null_count()]
    timed = pl.any_horizontal(pl.col(name).is_not_null() for name in _PHASES if name in parsed.columns)
    contradicts = _contradictions(parsed.columns).values()
    return parsed.select(bad=pl.any_horizontal(*faulty, *contradicts, pl.col("start").is_null(), ~timed))["bad"]


def _meant(name: str) -> str:
    """What `--map` may say of a file's column that nobody knows: the column it is likely meant as, else NAME."""
    meant = nearest_column(name)
    # A unit that the file's name does not tell must be told: milliseconds taken for seconds would pass for data.
    untold = meant in SECONDS_COLUMNS and name.rpartition("_")[2] not in SECONDS_PER
    return f"{meant or 'NAME'}{':UNIT' if untold else ''}"


def _reason(raw: Mapping[str, object], parsed: Mapping[str, object]) -> str:
    """What is wrong with a row, its first wrong column."""
    for name, value in parsed.items():
        if value is None and raw[name] is not None:
            return f"{name} {str(raw[name])[:60]!r} is {_EXPECTED.get(name, _DEFAULT_EXPECTED)}"
    for part, whole in _WITHIN:
        inner, outer = parsed.get(part), parsed.get(whole)
        if inner is not None and outer is not None and inner > outer:  # type: ignore[operator]  # both are seconds
            return f"{part} {inner} is longer than {whole} {outer}"
    missing = "start" if parsed["start"] is None else "duration_s"
    return f"no {missing}"


_DEFAULT_EXPECTED: Final = "no number of that column's range"
_EXPECTED: Final[Mapping[str, str]] = {
    "start": "no time (ISO 8601, or epoch s, ms, us or ns)",
    "hop": "no CALLER>CALLEE",
    "vantage": f"none of {', '.join(VANTAGES)}",
    "outcome": f"none of {', '.join(OUTCOMES)}",
    "streaming": "neither true nor false",
    "mtls": "neither true nor false",
    **{name: f"no {size}-byte id in hex" for name, size in _ID_BYTES.items()},
    **{name: "no duration (seconds, not negative)" for name in COLUMNS if name.endswith("_s")},
}


_WITHIN: Final = (
    ("first_byte_s", "duration_s"),
    ("first_token_s", "duration_s"),
    ("first_byte_s", "first_token_s"),
    ("max_gap_s", "duration_s"),
    ("open_gap_s", "duration_s"),
)
"""Times of a call of which the first cannot be longer than the second."""
_ROUNDED_S: Final = 0.001
"""By how much they may be all the same: logs round each time by itself, down to a millisecond."""


def _contradictions(present: list[str]) -> dict[tuple[str, str], pl.Expr]:
    """Which rows have a time that is longer than the time it is a part of, by the pair of columns."""
    pairs = [(part, whole) for part, whole in _WITHIN if part in present and whole in present]
    return {(part, whole): (pl.col(part) > pl.col(whole) + _ROUNDED_S).fill_null(False) for part, whole in pairs}


def _said(column: pl.Series, coding: Coding) -> pl.Series:
    """`column` with texts without blanks around, null where they say nothing; words coded."""
    if column.name in WORDS:
        words = column if column.dtype == coding[column.name] else coded(column.cast(pl.String), coding[column.name])
        return respelled(words, _plain)
    if not isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum):
        return column
    texts = column.cast(pl.String)
    read = _at_once(texts)
    return _plain(texts) if read is None else read


def _plain(texts: pl.Series) -> pl.Series:
    said = texts.str.strip_chars()
    return said.set(said.is_in(_NOTHING), None)


def _at_once(texts: pl.Series) -> pl.Series | None:
    """What texts that hold nothing but times, or finite numbers, say; None where one of them must be looked at."""
    if texts.name == "start":
        return plain_moments(texts)
    if not FRAME[texts.name].is_numeric():
        return None
    numbers = texts.cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() and numbers.is_finite().all() else None


def _parsed(column: pl.Series, factor: float) -> pl.Series | pl.Expr:
    """`column` in its type of the call row; null where its value is none."""
    name = column.name
    if name == "start":
        return moments(column)
    if name in WORDS:
        return respelled(column, _SPELLINGS[name]) if name in _SPELLINGS else column
    return _reader(name)(pl.col(name), column.dtype, factor).alias(name)


def _reader(name: str) -> Callable[[pl.Expr, pl.DataType, float], pl.Expr]:
    if name in _ID_BYTES:
        return lambda column, kind, _: _identifier(column, kind, _ID_BYTES[name])
    return _READERS[FRAME[name].base_type()](name)


def _one_of(allowed: tuple[str, ...]) -> Meaning:
    def spelling(words: pl.Series) -> pl.Series:
        lower = words.str.to_lowercase()
        return lower.set(~lower.is_in(allowed), None)

    return spelling


_SPELLINGS: Final[Mapping[str, Meaning]] = {
    "vantage": _one_of(VANTAGES),
    "outcome": _one_of(OUTCOMES),
    "hop": lambda words: words.set(~words.str.contains(r"^[^>]+>[^>]+$"), None),
}
"""How the words of a column must read; null for those that do not."""


def _identifier(column: pl.Expr, kind: pl.DataType, size: int) -> pl.Expr:
    value = column.cast(pl.Binary) if kind == pl.Binary else column.cast(pl.String).str.decode("hex", strict=False)
    return pl.when(value.bin.size() == size).then(value)


def _boolean(_: str) -> Callable[[pl.Expr, pl.DataType, float], pl.Expr]:
    def read(column: pl.Expr, kind: pl.DataType, factor: float) -> pl.Expr:  # noqa: ARG001  # readers are called alike
        text = column.cast(pl.String).str.to_lowercase()
        return pl.when(text.is_in(_TRUE)).then(True).when(text.is_in(_FALSE)).then(False)

    return read


def _whole(name: str) -> Callable[[pl.Expr, pl.DataType, float], pl.Expr]:
    def read(column: pl.Expr, kind: pl.DataType, factor: float) -> pl.Expr:  # noqa: ARG001  # readers are called alike
        value = column.cast(pl.Float64, strict=False)
        return pl.when(value == value.round()).then(value).cast(FRAME[name], strict=False)

    return read


def _measure(_: str) -> Callable[[pl.Expr, pl.DataType, float], pl.Expr]:
    def read(column: pl.Expr, kind: pl.DataType, factor: float) -> pl.Expr:  # noqa: ARG001  # readers are called alike
        value = column.cast(pl.Float64, strict=False) * factor
        return pl.when(value.is_finite() & (value >= 0)).then(value)

    return read


_READERS: Final[Mapping[type[pl.DataType], Callable[[str], Callable[[pl.Expr, pl.DataType, float], pl.Expr]]]] = {
    pl.Boolean: _boolean,
    pl.Float64: _measure,
    pl.UInt32: _whole,
    pl.UInt8: _whole,
    pl.Int16: _whole,
    pl.Int8: _whole,
}
