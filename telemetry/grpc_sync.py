"""gRPC with threads, both sides: as `grpc_aio`, for services that have not gone to asyncio.

server = grpc.server(ThreadPoolExecutor(), interceptors=[grpc_sync_server_interceptor()])
channel = grpc.intercept_channel(grpc.insecure_channel(target), *grpc_sync_client_interceptors(target))
"""

from collections.abc import Iterator
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.context import (
    _SUPPRESS_INSTRUMENTATION_KEY,  # the API's one switch for this; exporters set it around what they send
    attach,
    detach,
    get_value,
)

from .call import Call
from .endings import LEAVING, ending_of_exception, ending_of_grpc
from .grpc_calls import MAKERS, Asking, Opening, ending_of_served
from .incoming import Incoming, ServerSettings
from .outgoing import ClientSettings
from .stream import ObservedStream


def grpc_sync_client_interceptors(
    target: str, settings: ClientSettings | None = None, *, tracer_provider: trace.TracerProvider | None = None
) -> list[Any]:
    """What `grpc.intercept_channel(channel, *...)` needs to measure every RPC that a channel to `target` makes."""
    return [_ClientInterceptor(Asking(target, settings, tracer_provider))]


def grpc_sync_server_interceptor(
    settings: ServerSettings | None = None, *, tracer_provider: trace.TracerProvider | None = None
) -> grpc.ServerInterceptor:
    """What `grpc.server(interceptors=[...])` needs to measure every RPC it serves."""
    return _ServerInterceptor(Incoming(settings or ServerSettings(), tracer_provider))


class _ClientInterceptor(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._one(continuation, client_call_details, request)

    def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return self._one(continuation, client_call_details, request_iterator)

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return self._many(continuation, client_call_details, request)

    def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return self._many(continuation, client_call_details, request_iterator)

    def _one(self, continuation: Any, details: Any, request: Any) -> Any:
        if get_value(_SUPPRESS_INSTRUMENTATION_KEY):
            return continuation(details, request)
        call, rpc = self._begun(continuation, details, request)
        # Of a call that blocks, the answer is there already; of a future it comes.
        rpc.add_done_callback(lambda ended: _answered(call, ended))
        return rpc

    def _many(self, continuation: Any, details: Any, request: Any) -> Any:
        if get_value(_SUPPRESS_INSTRUMENTATION_KEY):
            return continuation(details, request)
        call, rpc = self._begun(continuation, details, request)
        return _Streamed(rpc, call)

    def _begun(self, continuation: Any, details: Any, request: Any) -> tuple[Call, Any]:
        call, metadata = self._asking.start(details)
        try:
            return call, continuation(details._replace(metadata=metadata), request)
        except BaseException as error:
            call.fail(error)
            raise


def _answered(call: Call, rpc: Any) -> None:
    """The RPC of one answer is over."""
    code = rpc.code()
    if code is grpc.StatusCode.OK:
        call.chunk(rpc.result())
    call.stop(ending_of_grpc(code.value[0], code.name))
    call.close()


class _Streamed(ObservedStream[Any]):
    """An RPC whose messages are observed; the rest of it is reached through it."""

    def cancel(self) -> bool:
        """Give the rest of the messages up."""
        self._call.leave()
        return bool(self._chunks.cancel())  # type: ignore[attr-defined] # an RPC

    def close(self) -> None:
        """Give the rest of the messages up."""
        self.cancel()


class _ServerInterceptor(grpc.ServerInterceptor):
    def __init__(self, incoming: Incoming) -> None:
        self._incoming = incoming

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._incoming.skips(method):
            return handler
        attribute, make = MAKERS[handler.request_streaming, handler.response_streaming]
        opening = Opening(self._incoming, method, handler_call_details.invocation_metadata)
        observe = _streaming if handler.response_streaming else _answering
        observed = observe(getattr(handler, attribute), opening)
        return make(observed, handler.request_deserializer, handler.response_serializer)


def _answering(function: Any, opening: Opening) -> Any:
    def observed(request: Any, rpc: Any) -> Any:
        call, context = _opened(opening, rpc)
        token = attach(context)
        try:
            answer = function(request, rpc)
            call.chunk(answer)
            call.stop(ending_of_served(rpc, call))
        except BaseException as error:
            call.stop(ending_of_served(rpc, call, ending_of_exception(error)))
            raise
        finally:
            detach(token)
            call.close()
        return answer

    return observed


def _streaming(function: Any, opening: Opening) -> Any:
    def observed(request: Any, rpc: Any) -> Iterator[Any]:
        call, context = _opened(opening, rpc)
        answers = iter(function(request, rpc))
        try:
            while True:
                token = attach(context)
                try:
                    answer = next(answers)
                except StopIteration:
                    break
                finally:
                    detach(token)
                call.chunk(answer)
                yield answer
            call.stop(ending_of_served(rpc, call))
        except BaseException as error:
            call.stop(ending_of_served(rpc, call, ending_of_exception(error)))
            raise
        finally:
            call.close()

    return observed


def _opened(opening: Opening, rpc: Any) -> tuple[Call, Any]:
    """The call, told when its caller leaves: no exception reaches a handler that runs in a thread."""
    call, context = opening()
    rpc.add_callback(lambda: call.stop(ending_of_served(rpc, call, LEAVING)))
    return call, context
