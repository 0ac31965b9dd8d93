"""The span table from Arrow arrays, a column at a time: no Python statement runs once a span.

Nested arrays are flattened, and each inner element knows its outer one by index: attribute -> span -> scope -> resource.
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
from .wire import read_resources

_Index = npt.NDArray[np.int64]
_SILENT: Final = ("", "-")
_PLAIN: Final = ("text", "truth", "whole", "real")


def decode_columns(payloads: Sequence[bytes]) -> Decoded:
    """The span table of serialized ExportTraceServiceRequests, end to end; ValueError where one of them is none."""
    resources = read_resources(payloads)
    scopes, resource_of_scope = _inner(resources, "scopes")
    spans, scope_of_span = _inner(scopes, "spans")
    reasons = faults(spans)
    kept = np.flatnonzero(reasons < 0)
    row_of_span = np.full(len(spans), -1, dtype=np.int64)
    row_of_span[kept] = np.arange(len(kept))
    inherited = _texts(*_inner(resources, "resource", "attributes"), RESOURCE_SLOTS)
    inherited = inherited.spread(resource_of_scope[scope_of_span[kept]])
    texts = inherited.followed_by(_texts(*_inner(spans, "attributes"), SPAN_SLOTS).moved(row_of_span))
    fixed = _fixed(spans, _scope_names(scopes).gather(pl.Series(scope_of_span)), pl.Series(kept))
    fixed = _with_events(fixed, *_inner(spans, "events"), row_of_span)
    return Decoded(assemble(fixed, texts.rows, texts.slots, texts.values), _rejections(reasons))


def _inner(outer: pa.StructArray, *path: str) -> tuple[pa.StructArray, _Index]:
    """The elements of the lists at `path` of each of `outer`, and the index of the one each belongs to."""
    lists = pc.struct_field(outer, list(path))
    return pc.list_flatten(lists), pc.list_parent_indices(lists).to_numpy(zero_copy_only=False).astype(np.int64)


def _rejections(reasons: _Index) -> tuple[Rejection, ...]:
    counts = {reason: int((reasons == number).sum()) for number, reason in enumerate(FAULTS)}
    return tuple(Rejection(reason, count) for reason, count in sorted(counts.items()) if count)


def _series(array: pa.Array) -> pl.Series:
    return pl.Series(values=array)


def _scope_names(scopes: pa.StructArray) -> pl.Series:
    names = _series(pc.struct_field(scopes, ["scope", "name"]))
    return names.set(names == "", None)


def _fixed(spans: pa.StructArray, scope: pl.Series, kept: pl.Series) -> pl.DataFrame:
    """The fixed columns of the spans that are `kept`, but for the events' times."""
    columns = {name: _series(spans.field(name)) for name in ("trace_id", "span_id", "parent_span_id", "name", "kind")}
    read = pl.DataFrame(
        {
            **columns,
            "start_ns": _series(spans.field("start")),
            "end_ns": _series(spans.field("end")),
            "trace_state": _series(spans.field("trace_state")),
            "status": _series(pc.struct_field(spans, ["status", "code"])),
            "scope": scope,
        }
    )
    no_parent = pl.col("parent_span_id").is_in([b"", bytes(8)])
    tidy = read[kept].with_columns(
        parent_span_id=pl.when(~no_parent).then("parent_span_id"),
        kind=pl.when(pl.col("kind").is_between(0, 5)).then("kind").otherwise(0),
        status=pl.when(pl.col("status").is_between(0, FAILED)).then("status").otherwise(0),
        trace_state=pl.when(pl.col("trace_state") != "").then("trace_state"),
    )
    return tidy.cast({name: FIXED[name] for name in tidy.columns})


def _with_events(fixed: pl.DataFrame, events: pa.StructArray, span_of_event: _Index, row_of_span: _Index) -> pl.DataFrame:
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
class _Texts:
    """Attributes in long form: `values[i]` fills slot `slots[i]` of row `rows[i]`."""

    rows: _Index
    slots: _Index
    values: pl.Series

    def moved(self, row_of: _Index) -> "_Texts":
        """The same with rows numbered by `row_of`, without those whose row is negative."""
        rows = row_of[self.rows]
        kept = np.flatnonzero(rows >= 0)
        return _Texts(rows[kept], self.slots[kept], self.values.gather(pl.Series(kept)))

    def spread(self, of_row: _Index) -> "_Texts":
        """For each new row, the attributes of the old row `of_row` names; these must be in order of rows."""
        begin = np.searchsorted(self.rows, of_row, side="left")
        sizes = np.searchsorted(self.rows, of_row, side="right") - begin
        rows = np.repeat(np.arange(len(of_row)), sizes)
        place = np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(begin, sizes)
        return _Texts(rows, self.slots[place], self.values.gather(pl.Series(place)))

    def followed_by(self, other: "_Texts") -> "_Texts":
        """These, then those of `other`."""
        rows, slots = np.concatenate([self.rows, other.rows]), np.concatenate([self.slots, other.slots])
        return _Texts(rows, slots, pl.concat([self.values, other.values]))


def _texts(attributes: pa.StructArray, rows: _Index, slots: dict[str, int]) -> _Texts:
    """The attributes that have a slot and say something, as text."""
    number = _series(pc.index_in(attributes.field("key"), value_set=pa.array(list(slots), pa.string())))
    place = number.replace_strict(range(len(slots)), list(slots.values()), return_dtype=pl.Int64)
    wanted = _as_text(attributes.field("value"), place.is_not_null().arg_true())
    said = pl.DataFrame({"row": rows, "slot": place})[wanted["at"]].with_columns(wanted["text"])
    said = said.filter(pl.col("text").is_not_null() & ~pl.col("text").is_in(_SILENT))
    return _Texts(said["row"].to_numpy(), said["slot"].to_numpy(), said["text"])


def _as_text(values: pa.StructArray, at: pl.Series) -> pl.DataFrame:
    """The attribute values `at` some places, as text: numbers printed, of an array its first item, nested deeper null."""
    text = _first_items(values).gather(at)
    for name in reversed(_PLAIN):
        plain = _series(pc.struct_field(values, [name])).gather(at)
        if plain.null_count() < len(plain):
            text = plain.cast(pl.String).zip_with(plain.is_not_null(), text)
    return pl.DataFrame({"at": at, "text": text})


def _first_items(values: pa.StructArray) -> pl.Series:
    """Of each value that is an array its first item, where that is a text; null for all others."""
    lists = pc.struct_field(values, ["array", "values"])
    owners, place = np.unique(pc.list_parent_indices(lists).to_numpy(zero_copy_only=False), return_index=True)
    nothing = pl.repeat(None, len(values), dtype=pl.String, eager=True)
    if not len(owners):
        return nothing
    first = _series(pc.struct_field(pc.list_flatten(lists), ["text"])).gather(pl.Series(place))
    return nothing.scatter(pl.Series(owners), first)
