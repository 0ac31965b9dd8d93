"""Thins what `meshslo demo --out DIR` left to what the notebooks read: python notebooks/record.py DIR.

Nothing is made up and no call is left out: ids are numbered, times rounded to 0.1 ms, empty columns dropped, so that a few
minutes of four services fit into a few hundred kilobytes.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from meshslo.analysis import open_store

DATA: Final = Path(__file__).parent / "data"
RUN_KEYS: Final = ("name", "since", "until", "requests", "promised_rate")
DIGITS: Final = 4
"""Of seconds: 0.1 ms."""


def main(folder: Path) -> None:
    """Write calls, runs, config and manifests of the demo in `folder` to `data/`."""
    calls = thinned(open_store(folder / "store").scan(None, None).collect())
    write(calls, DATA / "calls.parquet")
    runs = json.loads((folder / "runs.json").read_text())["runs"]
    kept = [{key: run[key] for key in RUN_KEYS} for run in runs]
    (DATA / "runs.json").write_text(json.dumps(kept, indent=2) + "\n")
    shutil.copy(folder / "meshslo.toml", DATA)
    shutil.rmtree(DATA / "mesh", ignore_errors=True)
    shutil.copytree(folder / "mesh" / "before", DATA / "mesh")


def thinned(calls: pl.DataFrame) -> pl.DataFrame:
    """The calls in order of their start, with numbers for ids, rounded times and no empty column."""
    ordered = calls.sort("start", "span_id")
    spans = numbered(pl.concat([ordered["span_id"], ordered["parent_span_id"]]))
    ids = {"span_id": spans, "parent_span_id": spans, "trace_id": numbered(ordered["trace_id"])}
    plain = ordered.with_columns(
        *(pl.col(name).replace_strict(numbers, return_dtype=pl.Binary) for name, numbers in ids.items()),
        pl.col("^.*_s$").round(DIGITS),
        pl.col("start").dt.round("100us"),
    )
    return plain.select(name for name in plain.columns if plain[name].null_count() < plain.height)


def numbered(ids: pl.Series) -> dict[bytes, bytes]:
    """Each id with its number, as long as it is, by first appearance from 1."""
    known = ids.drop_nulls().unique(maintain_order=True)
    return {each: place.to_bytes(len(each), "big") for place, each in enumerate(known, 1)}


def write(calls: pl.DataFrame, path: Path) -> None:
    """Parquet as small as it goes: ids in ascending order and starts as differences."""
    ids = {"span_id": "DELTA_BYTE_ARRAY", "trace_id": "DELTA_BYTE_ARRAY", "start": "DELTA_BINARY_PACKED"}
    words = [name for name in calls.columns if name not in ids]
    pq.write_table(calls.to_arrow(), path, compression="zstd", compression_level=19, use_dictionary=words, column_encoding=ids)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
