"""gRPC aio, both sides: an RPC is one span from its start to the last message, however it ends.

    server = grpc.aio.server(interceptors=[grpc_server_interceptor()])
    channel = grpc.aio.insecure_channel(target, interceptors=grpc_client_interceptors(target))

Unary and server-streaming answers, with one request or a stream of them; handlers that are coroutines or async generators.
"""

import inspect
from collections.abc import AsyncIterator
from typing import Any

import grpc
from opentelemetry import trace
from opentelemetry.context import attach, detach

from .call import Call
from .endings import ending_of_exception
from .grpc_calls import MAKERS, Opening, ending_of_served
from .grpc_client import grpc_client_interceptors
from .incoming import Incoming, ServerSettings


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
        observed = self._observed(function, Opening(self._incoming, method, handler_call_details.invocation_metadata))
        return make(observed, handler.request_deserializer, handler.response_serializer)

    @staticmethod
    def _observed(function: Any, opening: "Opening") -> Any:
        if inspect.isasyncgenfunction(function):
            return _streaming(function, opening)
        # A coroutine that writes its answers to the context, or returns one; grpc runs others in threads: left as they are.
        return _answering(function, opening) if inspect.iscoroutinefunction(function) else function


def _answering(function: Any, opening: Opening) -> Any:
    async def observed(request: Any, rpc: Any) -> Any:
        call, context = opening()
        token = attach(context)
        try:
            answer = await function(request, _Writes(rpc, call))
            if answer is not None:
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
            call.stop(ending_of_served(rpc, call))
        except BaseException as error:
            call.stop(ending_of_served(rpc, call, ending_of_exception(error)))
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


__all__ = ["grpc_client_interceptors", "grpc_server_interceptor"]
