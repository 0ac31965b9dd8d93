"""The span table: what a decoder reads of a span, one row each, before it is known which of them are calls.

A decoder hands over fixed columns and the wanted attributes in long form (row, slot, value); `assemble` makes the table of
them. So a faster decoder replaces only the reading. Attributes that no column asks for are never kept: no prompt, header or
query gets in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from meshslo.telemetry.names import ATTEMPT, CALLER, RESOURCE_SPELLINGS, SPELLINGS

from .graph import take

SERVER: Final = 2
CLIENT: Final = 3
"""Values of `kind`, as in OTLP; 1 is INTERNAL."""
FAILED: Final = 2
"""Value of `status` for a span that its instrumentation calls failed."""

_READERS_OWN: Final[Mapping[str, tuple[str, ...]]] = {
    "stated_caller": (CALLER,),
    "attempt": (ATTEMPT,),
    "resends": ("http.request.resend_count",),
    "retries": ("retry.count",),
    "component": ("component",),
    "upstream_cluster": ("upstream_cluster.name", "upstream_cluster"),
    "canceled": ("canceled",),
    "error": ("error",),
    "rpc_service": ("rpc.service",),
    "content_type": ("http.response.header.content-type", "http.response.header.content_type", "http.response_content_type"),
    "openinference_kind": ("openinference.span.kind",),
    "canonical_service": ("istio.canonical_service",),
    "security_policy": ("connection_security_policy", "connection.mtls"),
    "first_token_ms": ("ai.response.msToFirstChunk", "ai.stream.msToFirstChunk"),
    "asgi_event": ("asgi.event.type",),
    "ai_model": ("ai.model.id",),
    "ai_operation": ("ai.operationId",),
}
"""Attributes that decide what a span is, or carry a column in another unit; no column of the call row by themselves."""

ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {**SPELLINGS, **_READERS_OWN}
RESOURCE: Final = RESOURCE_SPELLINGS

# A slot is one spelling of one column: column number * 16 + rank of the spelling (0 is the best).
_COLUMNS: Final[tuple[str, ...]] = (*ATTRIBUTES, *RESOURCE)
_RANKS: Final = 16


def _slots(spellings: Mapping[str, tuple[str, ...]]) -> dict[str, int]:
    """Attribute name -> slot."""
    return {
        name: _COLUMNS.index(column) * _RANKS + rank for column, names in spellings.items() for rank, name in enumerate(names)
    }


RESOURCE_SLOTS: Final = _slots(RESOURCE)
# Envoy puts node, zone and Istio's labels on the span instead of the resource; the service's name stays the resource's.
SPAN_SLOTS: Final = _slots(ATTRIBUTES) | {name: slot for name, slot in RESOURCE_SLOTS.items() if name != "service.name"}

LONGEST_TEXT: Final = 256
"""Characters of an attribute that are kept: a word is a label, and a sender must not fill the disk with one."""

# Events that give a moment. Envoy's are those of `verbose` tracing; a body is complete only where its span has the last one.
HEADERS_EVENT: Final = "first_upstream_rx_byte_received"
"""Response headers have arrived from upstream (not the first token)."""
TOKEN_EVENT: Final = "First Token Stream Event"
"""OpenInference's event at the first chunk of a stream."""
COMPLETE_EVENTS: Final[Mapping[int, str]] = {SERVER: "last_downstream_tx_byte_sent", CLIENT: "last_upstream_rx_byte_received"}
"""By span kind: the whole body was passed on (a received request), has arrived (an attempt)."""

FIXED: Final = pl.Schema(
    {
        "trace_id": pl.Binary(),
        "span_id": pl.Binary(),
        "parent_span_id": pl.Binary(),
        "kind": pl.Int8(),
        "name": pl.String(),
        "start_ns": pl.Int64(),
        "end_ns": pl.Int64(),
        "trace_state": pl.String(),
        "status": pl.Int8(),
        "scope": pl.String(),
        "headers_ns": pl.Int64(),
        "token_ns": pl.Int64(),
        "complete_ns": pl.Int64(),
    }
)
SPANS: Final = pl.Schema({**FIXED, **dict.fromkeys(_COLUMNS, pl.String())})
"""Columns of the span table. Times are Unix nanoseconds; `headers_ns`, `token_ns` and `complete_ns` are the times of the events
above, null where not seen. Every attribute is text as it came (numbers printed, booleans `true` and `false`), null where unset,
empty or `-`."""


@dataclass(frozen=True)
class Rejection:
    """Why `count` spans of a message were not taken."""

    reason: str
    count: int


@dataclass(frozen=True)
class Decoded:
    """The spans of a message, and what was turned away."""

    spans: pl.DataFrame
    rejected: tuple[Rejection, ...] = ()

    @property
    def rejected_spans(self) -> int:
        """How many spans were turned away."""
        return sum(rejection.count for rejection in self.rejected)


Numbers = Sequence[int] | npt.NDArray[np.integer[Any]]


def assemble(
    fixed: pl.DataFrame, rows: Numbers, slots: Numbers, values: Sequence[str] | pl.Series, *, which: Numbers | None = None
) -> pl.DataFrame:
    """The span table of `fixed` columns and attributes in long form: attribute i is of row `rows[i]`.

    It fills slot `slots[i]` with `values[i]`, or, where the same attributes occur many times, `slots[which[i]]` with
    `values[which[i]]`. Where several spellings of a column are set, the best one counts.
    """
    row = np.asarray(rows, dtype=np.int64)
    number = np.arange(len(row)) if which is None else np.asarray(which)
    slot = np.asarray(slots, dtype=np.int16)[number]
    # Slots are small: as 16-bit numbers they are sorted by radix, in linear time. The best spelling is last, and so stays.
    order = np.argsort(-slot, kind="stable")
    column = slot[order] // _RANKS
    text = pl.Series("value", values, dtype=pl.String).str.slice(0, LONGEST_TEXT)
    bounds = [0, *(np.flatnonzero(np.diff(column)) + 1), len(column)] if len(column) else []
    wide = [
        take(text, _place(fixed.height, row[order[start:stop]], number[order[start:stop]])).alias(_COLUMNS[column[start]])
        for start, stop in pairwise(bounds)
    ]
    return widen(fixed.with_columns(wide))


def _place(height: int, rows: npt.NDArray[np.int64], values: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """values[i] at rows[i], the last one where there are several; -1 elsewhere."""
    place = np.full(height, -1, dtype=np.int64)
    place[rows] = values
    return place


def once(spans: pl.DataFrame) -> pl.DataFrame:
    """The first of the spans with one trace, id and kind: an exporter's retry brings spans again."""
    # Ids are random: where all differ, which costs little to see, nothing is there twice.
    if spans["span_id"].n_unique() == spans.height:
        return spans
    return spans.unique(["trace_id", "span_id", "kind"], keep="first", maintain_order=True)


def widen(spans: pl.DataFrame) -> pl.DataFrame:
    """`spans` with every column of the span table, those it lacks null, and no other."""
    return spans.match_to_schema(SPANS, missing_columns="insert", extra_columns="ignore")
