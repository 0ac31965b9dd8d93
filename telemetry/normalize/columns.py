"""The columns of a call that its own span states: times, route, protocol, status, tokens, sampling weight."""

from typing import Final

import polars as pl

from meshslo.telemetry.schema import FRAME

from .outcomes import GRPC_CODES
from .roles import number
from .spans import FAILED

TEXT: Final = ("tenant", "model", "provider", "operation", "route", "method", "protocol", "error_type", "response_flags")
WORDS: Final = (*TEXT, "caller_identity", "callee_identity", "namespace", "pod", "zone", "cluster", "version")
NUMBERS: Final = ("chunks", "input_tokens", "output_tokens")
SECONDS: Final = ("max_gap_s", "open_gap_s")
IDENTITY: Final = ("model", "provider", "operation", "tenant", "route", "streaming", "version", "zone", "pod", "namespace")
"""What every attempt of one operation has in common."""


def measured(spans: pl.DataFrame) -> pl.DataFrame:
    """Each span's columns in the call row's types; moments (`begin`, `headers`, `token`, `end`) are Unix ns or null."""
    # Else every expression that asks whether a number is good reads its text anew.
    read = spans.with_columns(pl.col(_STATED_NUMBERS).cast(pl.Float64, strict=False))
    return read.select(
        *_AS_THEY_CAME,
        **_moments(),
        **_evidence(),
        attempt=_attempt(),
        weight=_weight(),
        mtls=_mtls(),
        streaming=_streaming(),
        peer=pl.when(~pl.col("proxy")).then("peer"),
        **{name: number(name, FRAME[name]) for name in NUMBERS},
        **{name: _seconds(name) for name in SECONDS},
        **{name: pl.col(name) for name in WORDS if name not in _SPECIAL},
        **_SPECIAL,
    )


_AS_THEY_CAME: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "proxy",
    "name",
    "service",
    "stated_caller",
    "upstream_cluster",
    "status_code",
)


_STATED_NUMBERS: Final = (
    "first_byte_s",
    "first_token_s",
    "first_token_ms",
    *SECONDS,
    *NUMBERS,
    "resends",
    "retries",
    "attempt",
)


def _moments() -> dict[str, pl.Expr]:
    """When the call began, its headers came, its first token came, it ended."""
    headers = pl.coalesce(_moment("first_byte_s"), "headers_ns", pl.when("ends_at_headers").then("end_ns"))
    token = pl.coalesce(_moment("first_token_s"), _moment("first_token_ms", unit_ns=1e6), "token_ns")
    return {
        "begin": pl.col("start_ns"),
        "headers": _not_before_start(headers),
        "token": _not_before_start(token),
        "end": pl.when(~pl.col("ends_at_headers")).then("end_ns"),
    }


def _evidence() -> dict[str, pl.Expr]:
    """What tells how the call ended, besides its status code and flags."""
    return {
        "grpc_status": _grpc_status(),
        "failure": _failure(),
        "stated": pl.col("outcome"),
        "canceled": _true("canceled"),
        "incomplete": pl.col("proxy") & pl.col("headers_ns").is_not_null() & pl.col("complete_ns").is_null(),
    }


def _moment(column: str, *, unit_ns: float = 1e9) -> pl.Expr:
    return pl.col("start_ns") + (_seconds(column) * unit_ns).round().cast(pl.Int64)


def _not_before_start(moment: pl.Expr) -> pl.Expr:
    return pl.when(moment >= pl.col("start_ns")).then(moment)


def _seconds(column: str) -> pl.Expr:
    """A duration that a span states; null where it is none (negative, or longer than 30 years)."""
    value = number(column, pl.Float64())
    return pl.when(value.is_between(0, 1e9)).then(value)


def _true(column: str) -> pl.Expr:
    return pl.col(column).str.to_lowercase().is_in(["true", "1"]).fill_null(False)


def _grpc_status() -> pl.Expr:
    names = {name: code for code, name in enumerate(GRPC_CODES)}
    by_name = pl.col("grpc_status").str.to_uppercase().replace_strict(names, default=None, return_dtype=pl.Int8)
    return pl.coalesce(number("grpc_status", pl.Int8()), by_name)


def _failure() -> pl.Expr:
    """Error type of a failed span, "" where it names none, null where it did not fail.

    A proxy marks an upstream span as failed on any reset, even after success: there only a call without any status failed.
    """
    marked = (pl.col("status") == FAILED) | pl.col("error_type").is_not_null()
    proxy = pl.col("error").eq_missing("true") & pl.col("status_code").is_null() & ~_true("canceled")
    return pl.when(pl.when("proxy").then(proxy).otherwise(marked)).then(pl.col("error_type").fill_null(""))


def _attempt() -> pl.Expr:
    """1 for the first; instrumentations count attempts, HTTP conventions and Envoy what was sent again."""
    again = pl.coalesce(number("resends", pl.UInt8()), number("retries", pl.UInt8()), pl.lit(0, dtype=pl.UInt8))
    stated = number("attempt", pl.UInt8())
    return pl.when(stated >= 1).then(stated).otherwise((again.cast(pl.UInt16) + 1).clip(upper_bound=255).cast(pl.UInt8))


def _weight() -> pl.Expr:
    """1 / sampling probability from the tracestate's `ot=th:HEX`, null where it is not stated.

    HEX is padded right to 14 digits; T / 2**56 is the rejected share, so the weight is 2**56 / (2**56 - T).
    Source: OpenTelemetry specification, tracestate probability sampling.
    """
    digits = pl.col("trace_state").str.extract(r"(?:^|,)\s*ot=(?:[^,]*;)?th:([0-9a-f]{1,14})(?:[;,]|\s*$)")
    threshold = digits.str.pad_end(14, "0").str.to_integer(base=16, dtype=pl.Int64, strict=False)
    return 2.0**56 / (2**56 - threshold).cast(pl.Float64)


def _mtls() -> pl.Expr:
    policy = pl.col("security_policy").str.to_lowercase()
    stated = pl.when(policy.is_in(["mutual_tls", "true"])).then(True).when(policy.is_in(["none", "false"])).then(False)
    spiffe = pl.any_horizontal(
        pl.col(name).str.starts_with("spiffe://").fill_null(False) for name in ("caller_identity", "callee_identity")
    )
    return pl.coalesce(stated, pl.when(spiffe).then(True))


def _streaming() -> pl.Expr:
    """What the span says, else true where it shows a stream; null where it does not tell."""
    stated = (
        pl.when(_true("streaming")).then(True).when(pl.col("streaming").str.to_lowercase().is_in(["false", "0"])).then(False)
    )
    shown = pl.any_horizontal(
        pl.col("content_type").str.contains("text/event-stream").fill_null(False),
        pl.col("ai_operation").str.ends_with("doStream").fill_null(False),
        pl.col("token_ns").is_not_null(),
        *(pl.col(name).is_not_null() for name in ("max_gap_s", "first_token_s", "first_token_ms")),
    )
    return pl.coalesce(stated, pl.when(shown).then(True))


def _protocol() -> pl.Expr:
    bare = pl.col("protocol").str.contains(r"^\d")
    return pl.when(bare).then("HTTP/" + pl.col("protocol")).otherwise("protocol")


def _route() -> pl.Expr:
    """A template; older RPC conventions split it in service and method. What has a query string is a raw path and no route."""
    rpc = pl.when(~pl.col("route").str.contains("/", literal=True)).then(pl.col("rpc_service") + "/" + pl.col("route"))
    route = pl.coalesce(rpc, "route")
    return pl.when(~route.str.contains(r"[?#]")).then(route)


def _pod() -> pl.Expr:
    """The pod's name; Istio's node id is `sidecar~IP~POD.NAMESPACE~DOMAIN`."""
    return pl.coalesce(pl.col("pod").str.extract(r"^(?:sidecar|router)~[^~]*~([^~.]+)"), "pod")


_SPECIAL: Final = {
    "route": _route(),
    "protocol": _protocol(),
    "pod": _pod(),
    "model": pl.coalesce("model", "ai_model"),
}
