"""Access logs of Envoy and Istio: JSON (Istio's field names, and those of the format we recommend) and the two default texts.

A line is one request as a proxy saw it, retries included: `attempt` is then the number of the last one. An inbound or plain
cluster gives vantage proxy_in, an `outbound|` one proxy_out; a proxy's log does not say whose it is, so the caller of an
outbound line is null unless `--set caller=NAME` tells. TCP lines and the periodic lines of running streams are no calls.
A duration limit of a route or listener (`max_stream_duration`) leaves 200 and no flag: only formats with
`response_code_details` tell it, Envoy's default text does not.
Sources: Envoy docs, access log usage, default format string; Istio pilot/pkg/model/telemetry_logging.go.
"""

import io
import re
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
import polars as pl

from meshslo.telemetry.normalize.proxies import service_of_cluster, service_of_host

from . import Gives, Reading
from .call_table import CallTable, Lines
from .column_map import Target
from .inputs import Stream
from .tally import Tally

_START: Final = (
    r'^\[(?P<start_time>[^\]]+)\] "(?P<method>\S+) (?:.*?) ?(?P<protocol>\S+)" '
    r"(?P<response_code>\d+|-) (?P<response_flags>\S+) "
)
_ISTIO: Final = r'(?P<response_code_details>\S+) \S+ "[^"]*" '
_SIZES: Final = r"(?:\d+|-) (?:\d+|-) (?P<duration>\d+|-) (?P<upstream_service_time>\d+|-) "
_QUOTED: Final = r'"[^"]*" "[^"]*" "[^"]*" "(?P<authority>[^"]*)" "[^"]*"'
_CLUSTER: Final = r" (?P<upstream_cluster>\S+) \S+ \S+ \S+ (?P<requested_server_name>\S+) (?P<route_name>\S+)"
ENVOY_TEXT: Final = _START + _SIZES + _QUOTED
ISTIO_TEXT: Final = _START + _ISTIO + _SIZES + _QUOTED + _CLUSTER

# Column of the call row -> names that a JSON log may give it, the best first. Milliseconds are in _MILLISECONDS.
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "start": ("start_time",),
    "method": ("method",),
    "protocol": ("protocol",),
    "status_code": ("response_code",),
    "grpc_status": ("grpc_status", "grpc_status_number"),
    "response_flags": ("response_flags",),
    "route": ("route_name",),
    "tenant": ("tenant", "tenant_id", "tenant.id", "x_tenant_id", "x-tenant-id"),
    "model": ("model", "x_model", "x-model", "gen_ai.request.model"),
    "trace_id": ("trace_id",),
    "span_id": ("span_id",),
    "attempt": ("upstream_request_attempt_count", "attempt_count", "attempts"),
    "caller_identity": ("downstream_peer_uri_san", "source_principal"),
    "callee_identity": ("upstream_peer_uri_san", "destination_principal"),
    "pod": ("hostname", "pod", "pod_name"),
}
_MILLISECONDS: Final[Mapping[str, tuple[str, ...]]] = {
    "duration_s": ("duration",),
    "first_byte_s": ("response_duration", "upstream_service_time"),
}
_OTHERS: Final = ("response_code_details", "upstream_cluster", "requested_server_name", "authority")
_TLS: Final = ("downstream_tls_version", "downstream_peer_uri_san")
"""Whether the caller's connection was encrypted, and who the caller proved to be: "-" or null where that is not so."""
_KINDS: Final = ("access_log_type", "log_type")
FIELDS: Final = tuple(
    dict.fromkeys(name for names in (*_NAMES.values(), *_MILLISECONDS.values(), _OTHERS, _TLS, _KINDS) for name in names)
)

# Ends that Envoy tells in the details alone, without a flag.
_TIMER_DETAILS: Final = r"max_duration_timeout|response_timeout|idle_timeout|max_stream_duration_reached|duration_timeout"


class EnvoyLog:
    """Reads Envoy's and Istio's access logs."""

    name = "envoy-log"
    gives: Gives = "calls"

    def sniff(self, head: bytes) -> bool:
        """JSON objects with a response code and flags, or a line in one of the default formats."""
        first = head.lstrip().split(b"\n", 1)[0]
        if first.startswith(b"{"):
            return b'"response_code"' in first and b'"start_time"' in first
        return any(re.match(pattern, first.decode("utf-8", "replace")) for pattern in (ISTIO_TEXT, ENVOY_TEXT))

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of call rows."""
        json = stream.head().lstrip().startswith(b"{")
        table = CallTable(reading.columns, reading.tally)
        first = 1
        for block in stream.blocks():
            fields, lines = _json(block, first, reading.tally) if json else _text(block, first, reading.tally)
            yield calls_of_fields(fields, lines, table)
            first += block.count(b"\n")


def calls_of_fields(fields: pl.DataFrame, lines: Lines, table: CallTable) -> pl.DataFrame:
    """The call rows of access log lines whose fields (some of `FIELDS`, as text) are columns; row i stood at `lines[i]`."""
    fields, lines = _requests(fields, lines, table.tally)
    columns = _columns(fields)
    targets = {name: Target(name) for name in columns.columns}
    return table.read(columns, targets, lines)


def _text(block: bytes, first: int, tally: Tally) -> tuple[pl.DataFrame, Lines]:
    """Fields of the lines of a block, and their numbers."""
    text = pl.Series("line", block.decode("utf-8", "replace").split("\n"))
    lines = np.arange(first, first + len(text))
    filled = (text.str.strip_chars() != "").to_numpy()
    text, lines = text.filter(pl.Series(filled)), lines[filled]
    istio = text.str.extract_groups(ISTIO_TEXT).struct.unnest()
    envoy = text.str.extract_groups(ENVOY_TEXT).struct.unnest()
    fields = pl.DataFrame(
        {name: istio[name].zip_with(istio["start_time"].is_not_null(), envoy[name]) if name in envoy.columns else istio[name]
         for name in istio.columns}
    )  # fmt: skip
    return _known(fields, lines, "no access log line in Envoy's or Istio's default format", tally)


def _json(block: bytes, first: int, tally: Tally) -> tuple[pl.DataFrame, Lines]:
    """Fields of the objects of a block, and their line numbers."""
    schema = pl.Schema(dict.fromkeys(FIELDS, pl.String()))
    lines = np.array([first + place for place, line in enumerate(block.split(b"\n")) if line.strip()], dtype=np.int64)
    try:
        fields = pl.read_ndjson(io.BytesIO(block), schema=schema)
    except (pl.exceptions.PolarsError, OSError):
        texts = [line if _is_object(line) else b'{"start_time": null}' for line in block.split(b"\n") if line.strip()]
        fields = pl.read_ndjson(io.BytesIO(b"\n".join(texts)), schema=schema)
    return _known(_with_nothing_said(fields, block), lines, "no JSON object with a start_time", tally)


def _with_nothing_said(fields: pl.DataFrame, block: bytes) -> pl.DataFrame:
    """`fields` with "-" where a line has one of `_TLS` and its value is null: an absent one leaves open what null denies."""
    logged = [name for name in _TLS if f'"{name}"'.encode() in block]
    if not logged:
        return fields
    texts = pl.Series("text", [line.decode("utf-8", "replace") for line in block.split(b"\n") if line.strip()])
    has = {name: texts.str.contains(f'"{name}"', literal=True) for name in logged}
    return fields.with_columns(
        pl.when(has[name]).then(pl.col(name).fill_null("-")).otherwise(name).alias(name) for name in logged
    )


def _is_object(line: bytes) -> bool:
    try:
        pl.read_ndjson(io.BytesIO(line))
    except (pl.exceptions.PolarsError, OSError):
        return False
    return True


def _known(fields: pl.DataFrame, lines: Lines, reason: str, tally: Tally) -> tuple[pl.DataFrame, Lines]:
    """Without the lines that could not be read, which go to the tally."""
    read = fields["start_time"].is_not_null()
    for line in lines[~read.to_numpy()].tolist():
        tally.refuse(line, reason)
    return fields.filter(read), lines[read.to_numpy()]


def _requests(fields: pl.DataFrame, lines: Lines, tally: Tally) -> tuple[pl.DataFrame, Lines]:
    """Without lines of TCP connections and of streams that were still running."""
    tcp = fields["method"].fill_null("-") == "-"
    running = fields.select(
        running=pl.any_horizontal(
            pl.lit(False), *(pl.col(name).str.contains("Periodic|Start") for name in _KINDS if name in fields.columns)
        ).fill_null(False)
    )["running"]
    running = running if len(running) == len(tcp) else tcp & False
    tally.pass_over("line of a TCP connection", int(tcp.sum()))
    tally.pass_over("line of a stream still running", int((running & ~tcp).sum()))
    kept = ~tcp & ~running
    return fields.filter(kept), lines[kept.to_numpy()]


def _columns(fields: pl.DataFrame) -> pl.DataFrame:
    """Columns of the call row, still as text where `CallTable` reads text."""
    given = {
        column: pl.coalesce(*present)
        for column, names in _NAMES.items()
        if (present := [_said(name) for name in names if name in fields.columns])
    }
    seconds = {
        column: pl.coalesce(*(_said(name) for name in names if name in fields.columns)).cast(pl.Float64, strict=False) / 1e3
        for column, names in _MILLISECONDS.items()
        if any(name in fields.columns for name in names)
    }
    if "attempt" in given:  # 0 where the proxy answered by itself
        given["attempt"] = given["attempt"].cast(pl.UInt32, strict=False).clip(1, 255)
    ends = _ends(fields)
    if "caller_identity" in given:
        proved = given["caller_identity"].str.starts_with("spiffe://")
        given["mtls"] = pl.when(proved).then(pl.lit("true")).when(_nameless(fields, ends["vantage"])).then(pl.lit("false"))
    return fields.select(**given, **seconds, **ends, outcome=_outcome(fields))


def _nameless(fields: pl.DataFrame, vantage: pl.Expr) -> pl.Expr:
    """Whether the caller surely showed no certificate: it came plain, or over TLS and the log has a place for its name.

    At an outbound line's proxy the connection from downstream is that of the application beside it, and says nothing.
    """
    if not set(_TLS) <= set(fields.columns):
        return pl.lit(value=False)
    version, name = map(pl.col, _TLS)
    return (vantage == "proxy_in") & (version.is_in(["-", ""]) | (version.is_not_null() & name.is_in(["-", ""])))


def _said(name: str) -> pl.Expr:
    return pl.when(~pl.col(name).is_in(["-", ""])).then(name)


def _ends(fields: pl.DataFrame) -> dict[str, pl.Expr]:
    """Who was called, from cluster, server name or authority; and at which side of the call the proxy stands."""
    missing = pl.lit(None, dtype=pl.String)
    cluster, server_name, authority = (
        _said(name) if name in fields.columns else missing
        for name in ("upstream_cluster", "requested_server_name", "authority")
    )
    host = server_name.str.extract(r"^outbound_\.\d+_\.[^.]*_\.(.+)$")
    outbound = cluster.str.starts_with("outbound|").fill_null(False)
    return {
        "callee": pl.coalesce(service_of_cluster(cluster), service_of_host(host), service_of_host(authority)),
        "vantage": pl.when(outbound).then(pl.lit("proxy_out")).otherwise(pl.lit("proxy_in")),
    }


def _outcome(fields: pl.DataFrame) -> pl.Expr:
    """`timeout` where only the details tell of a timer; else null, for flags and status to decide."""
    if "response_code_details" not in fields.columns:
        return pl.lit(None, dtype=pl.String)
    unflagged = _said("response_flags").is_null()
    return pl.when(unflagged & pl.col("response_code_details").str.contains(_TIMER_DETAILS)).then(pl.lit("timeout"))


SOURCE = EnvoyLog()
