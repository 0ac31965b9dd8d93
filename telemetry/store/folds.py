"""Rollups kept beside the calls they were made of, so that these need not be read again.

STORE/folds/LEVEL/START/OF-PHASE.totals.parquet, .counts.parquet

LEVEL is hour, day or month, START its first moment, OF a hash of the names of the call files in that span: a late call makes a
new file, and the fold of before is of other files, not wrong ones. Rows of counts are told apart by how many of them are each
group's, so that the folds of many spans are read as one. What a fold is made of and says is for `analysis.folds`.
"""

import hashlib
import io
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from meshslo.telemetry.errors import StoreError

from .atomic import write_atomically
from .layout import Layout

_LAYOUT: Final = "3"
"""Folds that another version made in another layout are as those of other files."""
_WEIGHTS: Final = ("weight", "weight_sq")
_COUNTS: Final = pl.Schema({"index": pl.Int16(), "count": pl.UInt64(), **dict.fromkeys(_WEIGHTS, pl.Float64())})

Span = tuple[datetime, Sequence[Path]]
"""First moment of a span, and the call files that are of it."""


class Fold(NamedTuple):
    """The tables of a rollup of one phase: totals, and counts (`analysis.folding.Rollup`)."""

    totals: pl.DataFrame
    counts: pl.DataFrame


@dataclass(frozen=True)
class Folds:
    """The folds of a store."""

    layout: Layout

    def read(self, level: str, spans: Sequence[Span], phase: str) -> Fold | None:
        """The folds of exactly these call files, one after the other; None where one of them is not there.

        Also where `has` has just said that it is: a fold may be superseded at any moment.
        """
        stems = [self._stem(level, start, files, phase) for start, files in spans]
        with suppress(FileNotFoundError):
            totals = pl.scan_parquet([_totals(stem) for stem in stems], glob=False).collect()
            counts = pl.scan_parquet(
                [_counts(stem) for stem in stems], glob=False, schema=_COUNTS, missing_columns="insert"
            ).select(list(_COUNTS) if _weighs(totals) else ["index", "count"])
            weighed = counts.with_columns(pl.col(_WEIGHTS).fill_null(pl.col("count"))) if _weighs(totals) else counts
            return Fold(totals, weighed.collect())
        return None

    def has(self, level: str, start: datetime, files: Iterable[Path], phase: str) -> bool:
        """Whether `read` would find it."""
        stem = self._stem(level, start, files, phase)
        return _totals(stem).exists() and _counts(stem).exists()

    def write(self, level: str, start: datetime, files: Iterable[Path], phase: str, fold: Fold) -> None:
        """Keep a fold, durably, instead of what was kept of that span and phase before; StoreError where that may not be."""
        stem = self._stem(level, start, files, phase)
        try:
            self._put(stem, phase, fold)
        except OSError as error:
            raise StoreError(
                f"{error.filename or stem}: {error.strerror}; folds are kept in the store: run as who may write there"
            ) from error

    def _put(self, stem: Path, phase: str, fold: Fold) -> None:
        stem.parent.mkdir(parents=True, exist_ok=True)
        # The totals come last: they say that both are there.
        write_atomically(_counts(stem), _packed(fold.counts))
        write_atomically(_totals(stem), _packed(fold.totals))
        for path in stem.parent.glob(f"*-{phase}.*.parquet"):
            if not path.name.startswith(stem.name):
                path.unlink(missing_ok=True)

    def drop_others(self, level: str, starts: Iterable[datetime]) -> None:
        """Remove the folds of spans other than these: their calls are gone."""
        kept = {_name(start) for start in starts}
        for folder in self._folder(level).glob("*"):
            if folder.name not in kept:
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)
                with suppress(OSError):
                    # Somebody has just put a new one there.
                    folder.rmdir()

    def _folder(self, level: str) -> Path:
        return self.layout.root / "folds" / level

    def _stem(self, level: str, start: datetime, files: Iterable[Path], phase: str) -> Path:
        names = "\n".join([_LAYOUT, *sorted(path.name for path in files)])
        return self._folder(level) / _name(start) / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}-{phase}"


def _name(start: datetime) -> str:
    return f"{start:%Y-%m-%dT%H}"


def _totals(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.totals.parquet")


def _counts(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}.counts.parquet")


def _packed(frame: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    frame.write_parquet(held, compression="zstd", compression_level=1)
    return held.getvalue()


def _weighs(totals: pl.DataFrame) -> bool:
    """Whether any call weighs other than 1: n weights and their squares both add up to n only where each of them is 1."""
    return any((totals[name] != totals["count"]).any() for name in _WEIGHTS)
