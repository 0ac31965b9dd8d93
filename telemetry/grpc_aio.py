"""gRPC aio, both sides: an RPC is one span from its start to the last message, however it ends.

    server = grpc.aio.server(interceptors=[grpc_server_interceptor()])
    channel = grpc.aio.insecure_channel(target, interceptors=grpc_client_interceptors(target))

Unary and server-streaming answers, with one request or a stream of them; handlers that are coroutines or async generators.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import grpc
from opentelemetry import trace
from opentelemetry.context import Context, attach, detach

from .baggage import without_caller
from .call import Call, as_current
from .endings import Ending, ending_of_exception, ending_of_grpc
from .grpc_client import SYSTEM, grpc_client_interceptors
from .incoming import Incoming, ServerSettings, attempt_in
from .outgoing import RPC_METHOD

MAKERS: Final[Mapping[tuple[bool, bool], tuple[str, Callable[..., Any]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}
"""(requests are a stream, answers are a stream) -> where a handler keeps its function, and how one is made."""


DEADLINE_MARGIN_S: Final = 0.05
"""How long a request may have travelled: by so much is the callee's deadline later than the caller's."""


def grpc_server_interceptor(
    settings: ServerSettings | None = None, *, tracer_provider: trace.TracerProvider | None = None
) -> grpc.aio.ServerInterceptor:
    """What `grpc.aio.server(interceptors=[...])` needs to measure every RPC it serves."""
    return _ServerInterceptor(Incoming(settings or ServerSettings(), tracer_provider))


class _ServerInterceptor(grpc.aio.ServerInterceptor):
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._incoming.skips(method):
            return handler
        attribute, make = MAKERS[handler.request_streaming, handler.response_streaming]
        function = getattr(handler, attribute)
        observed = self._observed(function, _Opening(self._incoming, method, handler_call_details.invocation_metadata))
        return make(observed, handler.request_deserializer, handler.response_serializer)

    @staticmethod
    def _observed(function: Any, opening: "_Opening") -> Any:
        if inspect.isasyncgenfunction(function):
            return _streaming(function, opening)
        # A coroutine that writes its answers to the context, or returns one; grpc runs others in threads: left as they are.
        return _answering(function, opening) if inspect.iscoroutinefunction(function) else function


class _Opening:
    """How the call of one RPC is opened, once its handler runs."""

    def __init__(self, incoming: Incoming, method: str, metadata: Any) -> None:
        self._incoming = incoming
        self._method = method
        self._headers = {str(key).lower(): value for key, value in metadata or () if isinstance(value, str)}

    def __call__(self) -> tuple[Call, Context]:
        context = self._incoming.context(self._headers)
        name = self._method.lstrip("/")
        call = self._incoming.start(name, context, {SYSTEM: "grpc", RPC_METHOD: name, **attempt_in(self._headers)})
        return call, as_current(call, without_caller(context))


def _answering(function: Any, opening: _Opening) -> Any:
    async def observed(request: Any, rpc: Any) -> Any:
        call, context = opening()
        token = attach(context)
        try:
            answer = await function(request, _Writes(rpc, call))
            if answer is not None:
                call.chunk(answer)
            call.stop(_ending(rpc, call))
        except BaseException as error:
            call.stop(_ending(rpc, call, error))
            raise
        finally:
            detach(token)
            call.close()
        return answer

    return observed


def _streaming(function: Any, opening: _Opening) -> Any:
    async def observed(request: Any, rpc: Any) -> AsyncIterator[Any]:
        call, context = opening()
        answers = aiter(function(request, rpc))
        try:
            while True:
                token = attach(context)
                try:
                    answer = await anext(answers)
                except StopAsyncIteration:
                    break
                finally:
                    detach(token)
                call.chunk(answer)
                yield answer
            call.stop(_ending(rpc, call))
        except BaseException as error:
            call.stop(_ending(rpc, call, error))
            raise
        finally:
            call.close()

    return observed


class _Writes:
    """The context of an RPC, whose writes are chunks."""

    def __init__(self, rpc: Any, call: Call) -> None:
        self._rpc = rpc
        self._call = call

    async def write(self, message: Any) -> None:
        self._call.chunk(message)
        await self._rpc.write(message)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rpc, name)


def _ending(rpc: Any, call: Call, error: BaseException | None = None) -> Ending:
    """How a served RPC ended: by the status that was set, the deadline, or what was raised."""
    said = ending_of_exception(error) if error else None
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


__all__ = ["grpc_client_interceptors", "grpc_server_interceptor"]
