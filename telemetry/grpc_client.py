"""The client's interceptors of gRPC aio, and the streamed RPC that they give back."""

import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc.aio import (
    StreamStreamClientInterceptor,
    StreamUnaryClientInterceptor,
    UnaryStreamClientInterceptor,
    UnaryUnaryClientInterceptor,
)
from opentelemetry import trace

from .call import Call
from .endings import ending_of_grpc
from .grpc_calls import Asking
from .outgoing import ClientSettings
from .stream import ObservedAsyncStream


def grpc_client_interceptors(
    target: str, settings: ClientSettings | None = None, *, tracer_provider: trace.TracerProvider | None = None
) -> list[grpc.aio.ClientInterceptor]:
    """What a channel to `target` needs (`interceptors=`) to measure every RPC it makes."""
    asking = Asking(target, settings, tracer_provider)
    return [kind(asking) for kind in (_UnaryUnary, _UnaryStream, _StreamUnary, _StreamStream)]


class _Client:
    """What the four kinds of interceptor have in common."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    def _start(self, details: Any) -> tuple[Call, Any]:
        """The call, and the RPC's details with what the callee is told."""
        call, metadata = self._asking.start(details)
        return call, details._replace(metadata=grpc.aio.Metadata(*metadata))

    async def _one(self, continuation: Any, details: Any, request: Any) -> Any:
        call, details = self._start(details)
        rpc = await continuation(details, request)
        try:
            code = await rpc.code()
        except BaseException as error:
            rpc.cancel()
            call.fail(error)
            raise
        if code is grpc.StatusCode.OK:
            call.chunk(await rpc)
        call.stop(ending_of_grpc(code.value[0], code.name))
        call.close()
        return rpc

    async def _many(self, continuation: Any, details: Any, request: Any, kind: "type[_Streamed]") -> Any:
        call, details = self._start(details)
        try:
            rpc = await continuation(details, request)
        except BaseException as error:
            call.fail(error)
            raise
        return kind(rpc, call)


class _UnaryUnary(_Client, UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._one(continuation, client_call_details, request)


class _StreamUnary(_Client, StreamUnaryClientInterceptor):
    async def intercept_stream_unary(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._one(continuation, client_call_details, request_iterator)


class _UnaryStream(_Client, UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return await self._many(continuation, client_call_details, request, _UnaryStreamRpc)


class _StreamStream(_Client, StreamStreamClientInterceptor):
    async def intercept_stream_stream(self, continuation: Any, client_call_details: Any, request_iterator: Any) -> Any:
        return await self._many(continuation, client_call_details, request_iterator, _StreamStreamRpc)


class _Streamed:
    """An RPC whose messages are observed.

    grpc's own wrapper hands done-callbacks to the running RPC, which thereby keeps the wrapper, and so a stream that its
    caller has forgotten, alive for as long as the callee likes. Here the RPC knows its observer weakly: forgotten is gone, and
    grpc cancels what is gone.
    """

    def __init__(self, rpc: Any, call: Call) -> None:
        self._rpc = rpc
        self._messages: ObservedAsyncStream[Any] = ObservedAsyncStream(rpc, call)
        self._callbacks: list[Callable[[Any], None]] = []
        observer = weakref.ref(self)

        def done(ended: Any) -> None:
            if (known := observer()) is None:
                call.abandon()
                return
            if ended.cancelled():
                call.leave()
            known.call_back()

        rpc.add_done_callback(done)

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._messages

    async def read(self) -> Any:
        return await anext(self._messages, grpc.aio.EOF)

    def add_done_callback(self, callback: Callable[[Any], None]) -> None:
        if self._rpc.done():
            callback(self)
        else:
            self._callbacks.append(callback)

    def call_back(self) -> None:
        """Tell those who asked that the RPC is over."""
        for callback in self._callbacks:
            callback(self)

    def cancel(self) -> bool:
        return bool(self._rpc.cancel())

    def cancelled(self) -> bool:
        return bool(self._rpc.cancelled())

    def done(self) -> bool:
        return bool(self._rpc.done())

    def time_remaining(self) -> float | None:
        left_s: float | None = self._rpc.time_remaining()
        return left_s

    async def initial_metadata(self) -> Any:
        return await self._rpc.initial_metadata()

    async def trailing_metadata(self) -> Any:
        return await self._rpc.trailing_metadata()

    async def code(self) -> Any:
        return await self._rpc.code()

    async def details(self) -> Any:
        return await self._rpc.details()

    async def debug_error_string(self) -> Any:
        return await self._rpc.debug_error_string()

    async def wait_for_connection(self) -> None:
        await self._rpc.wait_for_connection()


class _UnaryStreamRpc(_Streamed, grpc.aio.UnaryStreamCall):  # type: ignore[type-arg] # of any message
    pass


class _StreamStreamRpc(_Streamed, grpc.aio.StreamStreamCall):  # type: ignore[type-arg] # of any message
    async def write(self, request: Any) -> None:
        await self._rpc.write(request)

    async def done_writing(self) -> None:
        await self._rpc.done_writing()

    @property
    def _done_writing_flag(self) -> bool:
        # grpc's wrapper of intercepted streams asks for it.
        return bool(self._rpc._done_writing_flag)  # noqa: SLF001
