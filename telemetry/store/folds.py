"""Rollups kept beside the calls they were made of, so that these need not be read again.

STORE/folds/LEVEL/START/OF-PHASE.totals.parquet, .counts.parquet

LEVEL is hour, day or month, START its first moment, OF a hash of the names of the call files in that span: a late call makes a
new file, and the fold of before is of other files, not wrong ones. What a fold is made of and says is for `analysis.folds`.
"""

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import polars as pl

from meshslo.telemetry.errors import StoreError

from .atomic import write_atomically
from .layout import Layout

_WEIGHTS: Final = ("weight", "weight_sq")


class Fold(NamedTuple):
    """The tables of a rollup of one phase: totals, and counts (`analysis.folding.Rollup`)."""

    totals: pl.DataFrame
    counts: pl.DataFrame


@dataclass(frozen=True)
class Folds:
    """The folds of a store."""

    layout: Layout

    def read(self, level: str, start: datetime, files: Iterable[Path], phase: str) -> Fold | None:
        """The fold of exactly these call files, or None where there is none."""
        stem = self._stem(level, start, files, phase)
        # Without a look first: a fold may be superseded at any moment.
        with suppress(FileNotFoundError):
            counts = pl.read_parquet(stem.with_name(f"{stem.name}.counts.parquet"))
            return Fold(pl.read_parquet(stem.with_name(f"{stem.name}.totals.parquet")), _weighted(counts))
        return None

    def has(self, level: str, start: datetime, files: Iterable[Path], phase: str) -> bool:
        """Whether `read` would find it."""
        stem = self._stem(level, start, files, phase)
        return stem.with_name(f"{stem.name}.totals.parquet").exists()

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
        write_atomically(stem.with_name(f"{stem.name}.counts.parquet"), _packed(_unweighted(fold.counts)))
        write_atomically(stem.with_name(f"{stem.name}.totals.parquet"), _packed(fold.totals))
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
        names = "\n".join(sorted(path.name for path in files))
        return self._folder(level) / _name(start) / f"{hashlib.sha256(names.encode()).hexdigest()[:16]}-{phase}"


def _name(start: datetime) -> str:
    return f"{start:%Y-%m-%dT%H}"


def _packed(frame: pl.DataFrame) -> bytes:
    held = io.BytesIO()
    frame.write_parquet(held, compression="zstd", compression_level=1)
    return held.getvalue()


def _unweighted(counts: pl.DataFrame) -> pl.DataFrame:
    """`counts` without the weights where these say the same."""
    weights = counts.select((pl.col(name) == pl.col("count")).all() for name in _WEIGHTS)
    return counts.drop(_WEIGHTS) if all(weights.row(0)) else counts


def _weighted(counts: pl.DataFrame) -> pl.DataFrame:
    return counts.with_columns(pl.col("count").cast(pl.Float64).alias(name) for name in _WEIGHTS if name not in counts.columns)
