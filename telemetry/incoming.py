"""Server side, whatever the protocol: whose request it is, and the span of serving it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

from .baggage import caller_in, label, labels_in, share
from .call import Call, Calls
from .names import ATTEMPT, CALLER, MODEL, TENANT

PROBES: Final = frozenset(
    {"/healthz", "/livez", "/readyz", "/metrics", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"}
)
"""Requests of the platform itself; counted as calls they would make every low quantile look good."""

ENVOY_ATTEMPT: Final = "x-envoy-attempt-count"
"""Header in which Envoy counts its attempts from 1 (`include_request_attempt_count`)."""


@dataclass(frozen=True)
class ServerSettings:
    """What a server takes from its requests.

    `tenant_header` and `model_header` win over baggage: a proxy that authenticated the caller sets them. `trusts_callers=False`
    (for the outermost service without such a proxy) ignores both. `content` tells which chunk is the first token.
    `skipped_paths` are requests that are no calls. FastAPI's own telemetry reads baggage before us: where callers are not
    trusted, switch it off with `FastAPI(telemetry={"tracing": False})`.
    """

    tenant_header: str | None = "x-tenant-id"
    model_header: str | None = "x-model"
    trusts_callers: bool = True
    content: Callable[[object], bool] | None = None
    skipped_paths: frozenset[str] = PROBES


class Incoming:
    """Opens the calls of one server."""

    def __init__(self, settings: ServerSettings, tracer_provider: trace.TracerProvider | None = None) -> None:
        self._settings = settings
        self._calls = Calls(tracer_provider, settings.content)
        headers = {TENANT: settings.tenant_header, MODEL: settings.model_header}
        self._labels = {name: header.lower() for name, header in headers.items() if header}

    def skips(self, path: str) -> bool:
        """Whether a request to `path` is no call."""
        return path in self._settings.skipped_paths

    def context(self, headers: Mapping[str, str]) -> Context:
        """The request's context: the caller's trace, and its labels from `headers` (names in lower case) or baggage."""
        context = propagate.extract(headers, getter=_GETTER)
        if not self._settings.trusts_callers:
            return share({}, baggage.clear(context))
        labels = labels_in(context)
        for name, header in self._labels.items():
            if (said := headers.get(header)) and (kept := label(name, said)):
                labels[name] = kept
        return share(labels, context)

    def start(self, name: str, context: Context, attributes: Mapping[str, AttributeValue]) -> Call:
        """A SERVER call whose span starts now."""
        return self._calls.start(name, SpanKind.SERVER, attributes, context)

    def join(self, span: Span, context: Context, attributes: Mapping[str, AttributeValue]) -> Call:
        """A call of a span that another instrumentation started for this request and will end."""
        caller = caller_in(context)
        span.set_attributes({**attributes, **labels_in(context), **({CALLER: caller} if caller else {})})
        return self._calls.join(span, owns_span=False)


def attempt_in(headers: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Which attempt the proxy in front says this is; empty where it does not say.

    >>> attempt_in({"x-envoy-attempt-count": "2"}), attempt_in({"x-envoy-attempt-count": "many"})
    ({'meshslo.attempt': 2}, {})
    """
    said = headers.get(ENVOY_ATTEMPT, "")
    return {ATTEMPT: int(said)} if said.isdecimal() and len(said) <= 3 and 0 < int(said) < 256 else {}


class _HeadersGetter(Getter[Mapping[str, str]]):
    def get(self, carrier: Mapping[str, str], key: str) -> list[str] | None:
        value = carrier.get(key.lower())
        return None if value is None else [value]

    def keys(self, carrier: Mapping[str, str]) -> list[str]:
        return list(carrier)


_GETTER: Final = _HeadersGetter()
