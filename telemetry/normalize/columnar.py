"""The span table from Arrow arrays, a column at a time: no Python statement runs once a span.

Nested arrays are flattened, and each inner element knows its outer one by index: attribute -> span -> scope -> resource.
Of attributes, each distinct one is read once; what follows moves their numbers, and text comes last.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from .faults import FAULTS, LATEST_NS, faults
from .graph import Rows
from .spans import (
    COMPLETE_EVENTS,
    FAILED,
    FIXED,
    HEADERS_EVENT,
    RESOURCE_SLOTS,
    SPAN_SLOTS,
    TOKEN_EVENT,
    Decoded,
    Rejection,
    assemble,
)
from .wire import read_attributes, read_resources

_SILENT: Final = ("", "-")
_PLAIN: Final = ("text", "truth", "whole", "real")


def decode_columns(payloads: Sequence[bytes]) -> Decoded:
    """The span table of serialized ExportTraceServiceRequests, end to end; ValueError where one of them is none."""
    resources = read_resources(payloads)
    scopes, resource_of_scope = _inner(resources, "scopes")
    spans, scope_of_span = _inner(scopes, "spans")
    read = _read(spans, _scope_names(scopes).gather(pl.Series(scope_of_span)))
    reasons = faults(read)
    kept = reasons.is_null().to_numpy()
    row_of_span = np.where(kept, np.cumsum(kept) - 1, -1)
    inherited = _said(*_inner(resources, "resource", "attributes"), RESOURCE_SLOTS)
    inherited = inherited.spread(resource_of_scope[scope_of_span[kept]])
    said = inherited.followed_by(_said(*_inner(spans, "attributes"), SPAN_SLOTS).moved(row_of_span))
    fixed = _with_events(_tidied(read.filter(kept)), *_inner(spans, "events"), row_of_span)
    return Decoded(assemble(fixed, said.rows, said.slots, said.texts, which=said.which), _rejections(reasons))


def _inner(outer: pa.StructArray, *path: str) -> tuple[pa.Array, Rows]:
    """The elements of the lists at `path` of each of `outer`, and the index of the one each belongs to."""
    lists = pc.struct_field(outer, list(path))
    return pc.list_flatten(lists), _series(pc.list_parent_indices(lists)).to_numpy()


def _rejections(reasons: pl.Series) -> tuple[Rejection, ...]:
    counts = {reason: int((reasons == number).sum()) for number, reason in enumerate(FAULTS)}
    return tuple(Rejection(reason, count) for reason, count in sorted(counts.items()) if count)


def _series(array: pa.Array) -> pl.Series:
    return pl.Series(values=array)


def _scope_names(scopes: pa.StructArray) -> pl.Series:
    names = _series(pc.struct_field(scopes, ["scope", "name"]))
    return names.set(names == "", None)


_READ: Final = ("trace_id", "span_id", "parent_span_id", "name", "kind", "start", "end", "trace_state")


def _read(spans: pa.StructArray, scope: pl.Series) -> pl.DataFrame:
    """The fields of spans that are columns, as they came."""
    status = _series(pc.struct_field(spans, ["status", "code"]))
    return pl.DataFrame({**{name: _series(spans.field(name)) for name in _READ}, "status": status, "scope": scope})


def _tidied(read: pl.DataFrame) -> pl.DataFrame:
    """The fixed columns of the span table, but for the events' times."""
    no_parent = (pl.col("parent_span_id") == b"") | (pl.col("parent_span_id") == bytes(8))
    tidy = read.rename({"start": "start_ns", "end": "end_ns"}).with_columns(
        parent_span_id=pl.when(~no_parent).then("parent_span_id"),
        kind=pl.when(pl.col("kind").is_between(0, 5)).then("kind").otherwise(0),
        status=pl.when(pl.col("status").is_between(0, FAILED)).then("status").otherwise(0),
        trace_state=pl.when(pl.col("trace_state") != "").then("trace_state"),
    )
    return tidy.cast({name: FIXED[name] for name in tidy.columns})


def _with_events(fixed: pl.DataFrame, events: pa.StructArray, span_of_event: Rows, row_of_span: Rows) -> pl.DataFrame:
    """`fixed` with the times of the events that give a moment, the earliest-listed of each name."""
    listed = pl.DataFrame(
        {"row": row_of_span[span_of_event], "at": _series(events.field("time")), "event": _series(events.field("name"))}
    )
    known = (HEADERS_EVENT, TOKEN_EVENT, *COMPLETE_EVENTS.values())
    first = (
        listed.filter((pl.col("row") >= 0) & (pl.col("at") <= LATEST_NS) & pl.col("event").is_in(known))
        .unique(("row", "event"), keep="first", maintain_order=True)
        .cast({"at": pl.Int64})
    )
    times = {event: _scattered(first.filter(pl.col("event") == event), fixed.height) for event in known}
    complete = [pl.when(pl.col("kind") == kind).then(pl.lit(times[event])) for kind, event in COMPLETE_EVENTS.items()]
    return fixed.with_columns(
        headers_ns=times[HEADERS_EVENT], token_ns=times[TOKEN_EVENT], complete_ns=pl.coalesce(complete)
    ).select(FIXED.names())


def _scattered(found: pl.DataFrame, height: int) -> pl.Series:
    """A column of `height` with `at` in the rows that `found` names, null elsewhere."""
    return pl.repeat(None, height, dtype=pl.Int64, eager=True).scatter(found["row"], found["at"])


@dataclass(frozen=True)
class _Said:
    """Attributes in long form: row `rows[i]` has the attribute number `which[i]`, which fills `slots` with `texts`."""

    rows: Rows
    which: Rows
    slots: npt.NDArray[np.int16]
    texts: pl.Series

    def moved(self, row_of: Rows) -> "_Said":
        """The same with rows numbered by `row_of`, without those whose row is negative."""
        rows = row_of[self.rows]
        kept = rows >= 0
        return _Said(rows[kept], self.which[kept], self.slots, self.texts)

    def spread(self, of_row: Rows) -> "_Said":
        """For each new row, the attributes of the old row `of_row` names; these must be in order of rows."""
        begin = np.searchsorted(self.rows, of_row, side="left")
        sizes = np.searchsorted(self.rows, of_row, side="right") - begin
        rows = np.repeat(np.arange(len(of_row)), sizes)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes - begin, sizes)
        return _Said(rows, self.which[place], self.slots, self.texts)

    def followed_by(self, other: "_Said") -> "_Said":
        """These, then those of `other`."""
        return _Said(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.which, other.which + len(self.slots)]),
            np.concatenate([self.slots, other.slots]),
            pl.concat([self.texts, other.texts], rechunk=True),
        )


def _said(attributes: pa.BinaryArray, rows: Rows, slots: dict[str, int]) -> _Said:
    """The attributes that have a slot and say something, as text."""
    encoded = attributes.dictionary_encode()
    distinct = read_attributes(encoded.dictionary)
    slot = _series(distinct.field("key")).replace_strict(slots, default=None, return_dtype=pl.Int16)
    text = _as_text(distinct.field("value"))
    says = slot.is_not_null() & text.is_not_null() & ~text.is_in(_SILENT)
    which = _series(encoded.indices).to_numpy()
    kept = says.to_numpy()[which]
    return _Said(rows[kept], which[kept], slot.fill_null(-1).to_numpy(), text)


def _as_text(values: pa.StructArray) -> pl.Series:
    """Attribute values as text: numbers printed, of an array its first item, nested deeper null."""
    text = _first_items(values)
    for name in reversed(_PLAIN):
        plain = _series(pc.struct_field(values, [name]))
        if plain.null_count() < len(plain):
            text = plain.cast(pl.String).zip_with(plain.is_not_null(), text)
    return text


def _first_items(values: pa.StructArray) -> pl.Series:
    """Of each value that is an array its first item, where that is a text; null for all others."""
    lists = pc.struct_field(values, ["array", "values"])
    owners, place = np.unique(_series(pc.list_parent_indices(lists)).to_numpy(), return_index=True)
    nothing = pl.repeat(None, len(values), dtype=pl.String, eager=True)
    if not len(owners):
        return nothing
    first = _series(pc.struct_field(pc.list_flatten(lists), ["text"])).gather(pl.Series(place))
    return nothing.scatter(pl.Series(owners), first)
