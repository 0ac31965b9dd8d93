"""Calls in JSON Lines: one object a line, keys named as the call row's columns.

What the first lines tell of keys and types makes reading quick. Each block shows whether it still holds; from the first that
does not, values are read as text.
"""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.schema import COLUMNS, FRAME, WORDS

from .call_table import CallTable, Lines
from .column_map import Target
from .inputs import Stream
from .words import of_texts

_HEAD_LINES: Final = 200
_NOT_READ: Final = (pl.exceptions.PolarsError, OSError)
"""What Polars raises; OSError of a line that begins like compressed data."""

Targets = Mapping[str, Target]


def json_calls(stream: Stream, table: CallTable) -> Iterator[pl.DataFrame]:
    """Frames of call rows; lines that are no objects go to the tally."""
    documents = _first_documents(stream.head())
    expected = table.check(list(dict.fromkeys(key for document in documents for key in document)))
    types: pl.Schema | None = pl.Schema({name: _type(name, target, documents) for name, target in expected.items()})
    targets = _with_late(expected, table)
    text = pl.Schema(dict.fromkeys(targets, pl.String()))
    first = 1
    for block in stream.blocks():
        ends = block.count(b"\n")
        frame = _as_expected(block, _coded(types, expected, table)) if types else None
        if frame is not None:
            lines = _lines(block, ends, frame.height, first)
        else:
            types = None
            frame, lines = _as_text(block, ends, text, first, table)
        yield table.read(frame, _present(frame, targets), lines)
        first += ends


def _first_documents(head: bytes) -> list[dict[str, object]]:
    """The objects in the first lines."""
    documents = []
    for line in head.split(b"\n")[:_HEAD_LINES]:
        try:
            document = json.loads(line)
        except ValueError:
            continue
        if isinstance(document, dict):
            documents.append(document)
    return documents


def _type(name: str, target: Target, documents: list[dict[str, object]]) -> pl.DataType:
    """What a key may be read as: numbers where a number is meant and none but such were seen, else text."""
    kinds = {type(value) for document in documents if (value := document.get(name)) is not None}
    if kinds == {int}:
        return pl.Int64() if FRAME[target.column].is_numeric() or target.column == "start" else pl.String()
    return pl.Float64() if kinds <= {int, float} and kinds and FRAME[target.column].is_float() else pl.String()


def _coded(types: pl.Schema, expected: Targets, table: CallTable) -> pl.Schema:
    """`types` with words coded as they are read: each is then looked at once, not once a line."""
    words = {name: target.column for name, target in expected.items() if target.column in WORDS}
    return pl.Schema({name: table.coding[words[name]] if name in words else kind for name, kind in types.items()})


def _with_late(expected: Targets, table: CallTable) -> dict[str, Target]:
    """With the columns of a call that first appear further down."""
    late = {name: target for name in (*table.columns.renamed, *COLUMNS) if (target := table.columns.target(name))}
    claimed = {target.column for target in expected.values()}
    return dict(expected) | {
        name: target for name, target in late.items() if name not in expected and target.column not in claimed
    }


def _present(frame: pl.DataFrame, targets: Targets) -> dict[str, Target]:
    """The targets that the frame has values for (start and duration_s always)."""
    needed = ("start", "duration_s")
    return {
        name: target
        for name, target in targets.items()
        if name in frame.columns and (target.column in needed or frame[name].null_count() < frame.height)
    }


def _as_expected(block: bytes, types: pl.Schema) -> pl.DataFrame | None:
    """The objects of a block whose values have these types and that have these keys and no others; else None."""
    try:
        frame = pl.read_ndjson(io.BytesIO(block), schema=types)
    except _NOT_READ:
        return None
    return frame if _has_no_other_keys(block, frame) else None


def _has_no_other_keys(block: bytes, frame: pl.DataFrame) -> bool:
    """Whether every colon of `block` follows a key of `frame`, stands before a null, or is inside one of the texts."""
    if b"\\" in block:
        return False
    texts = [column for column in frame if column.dtype in (pl.String, pl.Categorical)]
    inside = sum(int(of_texts(text, _colons).sum()) for text in texts)
    seen = sum(frame.height - column.null_count() for column in frame)
    # A third of the time of `block.count`, which begins anew at each of so many.
    left = int(np.count_nonzero(np.frombuffer(block, dtype=np.uint8) == ord(":"))) - inside - seen
    if not left:
        return True
    if any(of_texts(text, _nulls).any() for text in texts):
        return False
    return left == block.count(b":null") + block.count(b": null")


def _colons(texts: pl.Series) -> pl.Series:
    return texts.str.count_matches(":", literal=True)


def _nulls(texts: pl.Series) -> pl.Series:
    return texts.str.contains("null", literal=True)


def _as_text(block: bytes, ends: int, schema: pl.Schema, first: int, table: CallTable) -> tuple[pl.DataFrame, Lines]:
    """The objects of a block, every value as text, and their line numbers."""
    try:
        frame = pl.read_ndjson(io.BytesIO(block), schema=schema)
    except _NOT_READ:
        return _line_by_line(block, schema, first, table)
    return frame, _lines(block, ends, frame.height, first)


def _lines(block: bytes, ends: int, count: int, first: int) -> Lines:
    """The line numbers of the objects of a block that begins at line `first`: of all lines, or of those that are not blank."""
    if count == ends + (not block.endswith(b"\n")):
        return np.arange(first, first + count)
    return np.array([first + place for place, line in enumerate(block.split(b"\n")) if line.strip()], dtype=np.int64)


def _line_by_line(block: bytes, schema: pl.Schema, first: int, table: CallTable) -> tuple[pl.DataFrame, Lines]:
    documents, lines = [], []
    for number, line in enumerate(block.split(b"\n"), first):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as error:
            table.tally.refuse(number, f"no JSON: {error}")
            continue
        if isinstance(document, dict):
            documents.append({name: _text(document.get(name)) for name in schema})
            lines.append(number)
        else:
            table.tally.refuse(number, "no JSON object")
    return pl.DataFrame(documents, schema=schema), np.array(lines, dtype=np.int64)


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)
