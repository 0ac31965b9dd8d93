"""Client side, whatever the library: the span of an attempt, and what the callee is told."""

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Final

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context, get_current
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from .baggage import CARRIED, label, labels_in, with_labels
from .boundary import is_inside
from .call import Call, Calls, stated_in
from .names import ATTEMPT, CALLER, MODEL, OPERATION, TENANT

RESENDS: Final = "http.request.resend_count"
TEMPLATE: Final = "url.template"
RPC_METHOD: Final = "rpc.method"

TRACE_ONLY: Final = TraceContextTextMapPropagator()
"""What hosts outside are told: the trace, and nothing of whose request it is."""


@dataclass(frozen=True)
class ClientSettings:
    """What a client tells its callees.

    `inside` says which hosts learn tenant, model and caller; `tenant_header` and `model_header` are the request headers by
    which mesh proxies can tag their spans (None: no header). `content` tells which chunk is the first token.
    """

    inside: Callable[[str], bool] = is_inside
    tenant_header: str | None = "x-tenant-id"
    model_header: str | None = "x-model"
    content: Callable[[object], bool] | None = None


@dataclass(frozen=True)
class Target:
    """Where an attempt goes, and which one it is; `method` is that of HTTP, None for other protocols."""

    method: str | None
    host: str
    port: int | None = None
    attempt: int | None = None
    attributes: Mapping[str, AttributeValue] | None = None


class Outgoing:
    """Opens the calls of one client."""

    def __init__(self, settings: ClientSettings, tracer_provider: trace.TracerProvider | None = None) -> None:
        self.settings = settings
        self._tracer_provider = tracer_provider
        self._calls = Calls(tracer_provider, settings.content)

    def start(self, target: Target, headers: MutableMapping[str, str]) -> Call:
        """A CLIENT call whose span starts now; `headers` (of the request) get the trace, and inside what the callee may know.

        A tenant or model header that the request has already is taken for the call's and left as it is.
        """
        labels = labels_in() | _carried(stated_in()) | self._stated(headers)
        context = with_labels(labels, get_current())
        attributes = _attributes(target)
        call = self._calls.start(_name(target, attributes), SpanKind.CLIENT, attributes, context)
        self._tell(call, target.host, labels, context, headers)
        return call

    def _stated(self, headers: Mapping[str, str]) -> dict[str, str]:
        named = {TENANT: self.settings.tenant_header, MODEL: self.settings.model_header}
        said = {name: headers.get(header) for name, header in named.items() if header}
        return {name: kept for name, value in said.items() if value and (kept := label(name, value))}

    def _tell(
        self, call: Call, host: str, labels: Mapping[str, str], context: Context, headers: MutableMapping[str, str]
    ) -> None:
        spanned = trace.set_span_in_context(call.span, context)
        if not self.settings.inside(host):
            TRACE_ONLY.inject(headers, spanned)
            return
        service = self._service()
        propagate.inject(headers, baggage.set_baggage(CALLER, service, spanned) if service else spanned)
        for name, header in ((TENANT, self.settings.tenant_header), (MODEL, self.settings.model_header)):
            if header and name in labels and not headers.get(header):
                headers[header] = labels[name]

    def _service(self) -> str | None:
        provider = self._tracer_provider or trace.get_tracer_provider()
        resource = getattr(provider, "resource", None)
        return None if resource is None else str(resource.attributes.get("service.name") or "") or None


def _carried(attributes: Mapping[str, AttributeValue]) -> dict[str, str]:
    return {name: kept for name in CARRIED if name in attributes and (kept := label(name, attributes[name]))}


def _attributes(target: Target) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {"server.address": target.host}
    if target.method is not None:
        attributes["http.request.method"] = target.method
    if target.port is not None:
        attributes["server.port"] = target.port
    if target.attempt is not None:
        attributes[ATTEMPT] = target.attempt
        if target.attempt > 1:
            attributes[RESENDS] = target.attempt - 1
    return attributes | dict(target.attributes or {}) | stated_in()


def _name(target: Target, attributes: Mapping[str, AttributeValue]) -> str:
    """The span's name by convention: operation and model of a model's call, else method and template, or RPC."""
    operation = attributes.get(OPERATION)
    called = attributes.get(RPC_METHOD) or attributes.get(TEMPLATE)
    parts = (operation, attributes.get(MODEL)) if operation else (target.method, called)
    return " ".join(str(part) for part in parts if part)
