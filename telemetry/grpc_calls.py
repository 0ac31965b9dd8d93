"""What the aio and the sync side of gRPC have in common: how an RPC is opened, how it ended."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.util.types import AttributeValue

from .baggage import without_caller
from .call import Call, as_current
from .endings import Ending, ending_of_grpc
from .incoming import Incoming, attempt_in
from .outgoing import RPC_METHOD, ClientSettings, Outgoing, Target

SYSTEM: Final = "rpc.system.name"

MAKERS: Final[Mapping[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(requests are a stream, answers are a stream) -> where a handler keeps its function, and how one is made."""


DEADLINE_MARGIN_S: Final = 0.05
"""How long a request may have travelled: by so much is the callee's deadline later than the caller's."""


class Asking:
    """Opens the calls of a channel to one target."""

    def __init__(self, target: str, settings: ClientSettings | None, tracer_provider: trace.TracerProvider | None) -> None:
        self._outgoing = Outgoing(settings or ClientSettings(), tracer_provider)
        address = target.rpartition("/")[2]
        host, _, port = address.rpartition(":")
        split = bool(host) and port.isdecimal()
        self._host = host if split else address
        self._port = int(port) if split else None

    def start(self, details: Any) -> tuple[Call, list[tuple[str, Any]]]:
        """The call of an RPC that begins now, and its metadata with what the callee is told."""
        method = details.method.decode() if isinstance(details.method, bytes) else str(details.method)
        attributes: dict[str, AttributeValue] = {SYSTEM: "grpc", RPC_METHOD: method.lstrip("/")}
        pairs = list(details.metadata or ())
        given = {key: value for key, value in pairs if isinstance(value, str)}
        told = dict(given)
        call = self._outgoing.start(Target(None, self._host, self._port, attributes=attributes), told)
        changed = {key: value for key, value in told.items() if given.get(key) != value}
        return call, [*((key, value) for key, value in pairs if key not in changed), *changed.items()]


class Opening:
    """How the call of one RPC is opened, once its handler runs: the call, and the context to serve it in."""

    def __init__(self, incoming: Incoming, method: str, metadata: Any) -> None:
        self._incoming = incoming
        self._method = method
        self._headers = {str(key).lower(): value for key, value in metadata or () if isinstance(value, str)}

    def __call__(self) -> tuple[Call, Context]:
        """Open it now."""
        context = self._incoming.context(self._headers)
        name = self._method.lstrip("/")
        call = self._incoming.start(name, context, {SYSTEM: "grpc", RPC_METHOD: name, **attempt_in(self._headers)})
        return call, as_current(call, without_caller(context))


def ending_of_served(rpc: Any, call: Call, said: Ending | None = None) -> Ending:
    """How a served RPC ended: by the status that was set, the deadline, or what was raised."""
    if said is not None and said.outcome == "cancelled" and _ran_out(rpc.time_remaining(), call.times().duration_s):
        return ending_of_grpc(*_status(grpc.StatusCode.DEADLINE_EXCEEDED))
    code = rpc.code()
    if said is not None and (code in (None, 0) or said.outcome == "cancelled"):
        return said
    return ending_of_grpc(*_status(code or grpc.StatusCode.OK))


def _ran_out(left_s: float | None, elapsed_s: float) -> bool:
    """Whether an RPC that was cancelled with `left_s` to go was so by its deadline, which is the caller's.

    The caller's clock started before the request travelled, and the time it states on the wire is rounded up by as much as
    a hundredth (gRPC core's timeout encoding): the caller's deadline fires, and its cancellation comes, before ours does.
    """
    return left_s is not None and left_s <= DEADLINE_MARGIN_S + (elapsed_s + left_s) / 100


def _status(code: Any) -> tuple[int, str]:
    """Number and name of a status, which grpc gives as one or the other."""
    known = code if isinstance(code, grpc.StatusCode) else next(one for one in grpc.StatusCode if one.value[0] == code)
    return known.value[0], known.name
