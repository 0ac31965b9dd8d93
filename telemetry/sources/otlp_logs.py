"""Access logs that come as OTLP log records (Envoy's `envoy.access_loggers.open_telemetry`): attributes named as in JSON logs.

The record's own time is when the request began; its trace and span ids are those of the proxy's span, so that a log and a span
of the same request at the same proxy are one row. The resource tells whose proxy it is (`service.name`, or Envoy's
`cluster_name`).
Source: envoyproxy/envoy, source/extensions/access_loggers/open_telemetry/access_log_impl.cc.
"""

import base64
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import polars as pl
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.schema import FRAME, conform
from meshslo.telemetry.vocabulary import UNKNOWN

from .call_table import CallTable
from .column_map import ColumnMap
from .envoy_log import FIELDS, calls_of_fields
from .identity import Identifier
from .tally import Tally

_WHOSE: Final = ("service.name", "cluster_name")
_POD: Final = ("k8s.pod.name", "node_name")
_NEEDED: Final = ("duration", "response_code")
_TELLING: Final = frozenset({"response_code", "response_flags", "response_code_details", "upstream_cluster", "upstream_host"})
"""Names that only an access log has."""
_ID_BYTES: Final = {"traceId": 16, "spanId": 8}

NOT_OF_CALLS: Final = "no access log"


def parse_logs(payload: bytes) -> Any:
    """The ExportLogsServiceRequest in `payload`; BadInputError when there is none."""
    request = ExportLogsServiceRequest()
    try:
        request.ParseFromString(payload)
    except DecodeError as error:
        raise BadInputError(
            f"{len(payload)} bytes are no OTLP logs export ({error}); expected a serialized ExportLogsServiceRequest"
        ) from error
    return request


def logs_json_to_protobuf(payload: bytes | str) -> bytes:
    """OTLP/JSON logs as a serialized ExportLogsServiceRequest; BadInputError when they are none."""
    try:
        document = msgspec.json.decode(payload)
        for record in _records_in(document):
            _ids_to_base64(record)
        return bytes(ParseDict(document, ExportLogsServiceRequest(), ignore_unknown_fields=True).SerializeToString())
    except (ValueError, RecursionError, ParseError, AttributeError, TypeError) as error:
        raise BadInputError(f"not OTLP/JSON logs ({error}); expected {{'resourceLogs': [...]}}") from error


def _records_in(document: Any) -> Iterator[Any]:
    if not isinstance(document, dict) or (document and "resourceLogs" not in document):
        raise ValueError("no resourceLogs")
    for resource in document.get("resourceLogs") or []:
        for scope in resource.get("scopeLogs") or []:
            yield from scope.get("logRecords") or []


def _ids_to_base64(record: dict[str, Any]) -> None:
    for name, size in _ID_BYTES.items():
        if len(text := record.get(name) or "") == 2 * size:
            record[name] = base64.b64encode(bytes.fromhex(text)).decode()


def log_fault(record: Any) -> str | None:
    """Why a log record cannot become a call, or None."""
    names = {attribute.key.lower() for attribute in record.attributes}
    if not names.issuperset(_NEEDED):
        return "an access log needs the attributes duration and response_code" if names & _TELLING else NOT_OF_CALLS
    return None if record.time_unix_nano or "start_time" in names else "time_unix_nano is missing"


def calls_of_logs(payload: bytes) -> pl.DataFrame:
    """The call rows of a serialized ExportLogsServiceRequest; records that cannot be calls are left out (see `log_fault`).

    Equal payloads give equal rows, ids included; calls of different payloads share no id that they did not bring.
    Raises BadInputError when the bytes are no such message.
    """
    lines = list(_lines(parse_logs(payload)))
    if not lines:
        return pl.DataFrame(schema=FRAME)
    read = pl.DataFrame(
        lines, schema={**dict.fromkeys(FIELDS, pl.String), "_line": pl.Int64, "_service": pl.String, "_pod": pl.String}
    )
    table = CallTable(ColumnMap(), Tally("OTLP logs"), identifier=Identifier(payload))
    calls = [
        _owned(conform(calls_of_fields(part.select(FIELDS), part["_line"].to_numpy(), table)), *owner)
        for owner, part in _by_owner(read)
    ]
    return pl.concat(calls)


def _lines(request: Any) -> Iterator[dict[str, Any]]:
    """The fields of each access log as text, its number, and whose proxy wrote it."""
    number = 0
    for resource in request.resource_logs:
        about = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
        service, pod = (next((about[name] for name in names if about.get(name)), None) for names in (_WHOSE, _POD))
        for record in (record for scope in resource.scope_logs for record in scope.log_records):
            number += 1
            if log_fault(record) is None:
                yield {**_fields(record), "_line": number, "_service": service, "_pod": pod}


def _fields(record: Any) -> dict[str, str | None]:
    said = {attribute.key.lower(): _text(attribute.value) for attribute in record.attributes}
    own = {
        "start_time": str(record.time_unix_nano) if record.time_unix_nano else None,
        "trace_id": record.trace_id.hex() or None,
        "span_id": record.span_id.hex() or None,
    }
    return {**{name: said.get(name) for name in FIELDS}, **{name: value for name, value in own.items() if value}}


def _text(value: Any) -> str | None:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind in ("string_value", "int_value", "double_value") else None


def _by_owner(read: pl.DataFrame) -> Iterator[tuple[tuple[str | None, str | None], pl.DataFrame]]:
    for part in read.partition_by("_service", "_pod", maintain_order=True):
        yield (part.item(0, "_service"), part.item(0, "_pod")), part


def _owned(calls: pl.DataFrame, service: str | None, pod: str | None) -> pl.DataFrame:
    """`calls` with the proxy's own service as the end that it stands at."""
    name = None if service is None else service.split(".")[0]
    outbound = pl.col("vantage") == "proxy_out"
    calls = calls.with_columns(
        caller=pl.when(outbound).then(pl.coalesce("caller", pl.lit(name, pl.String))).otherwise("caller"),
        callee=pl.when(outbound).then("callee").otherwise(pl.coalesce(pl.lit(name, pl.String), "callee")),
        pod=pl.coalesce("pod", pl.lit(pod, pl.String)),
    )
    return calls.with_columns(hop=pl.col("caller").fill_null(UNKNOWN) + ">" + pl.col("callee").fill_null(UNKNOWN))
