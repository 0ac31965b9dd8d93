"""The gRPC port: OTLP's Export methods on raw bytes, with the answers that OTLP exporters understand."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from meshslo.telemetry.errors import BadConfigError, BadInputError
from meshslo.telemetry.store.journal import StoreBusyError

from .accepted import SIGNALS
from .access import Tokens, UnknownSenderError
from .intake import Intake
from .settings import CollectSettings
from .signals import Signal

RETRY_AFTER_S: Final = 2
MAX_AT_ONCE: Final = 100
"""Exports that one connection may have under way; gRPC clients wait for their turn by themselves."""
_DETAILS: Final = "grpc-status-details-bin"


class _Services(grpc.GenericRpcHandler):
    """Routes calls by their path; what is not here is answered UNIMPLEMENTED by gRPC itself."""

    def __init__(self, methods: dict[str, Callable[..., Any]]) -> None:
        # No (de)serializers: handlers get and give bytes, so that a batch is stored as it came.
        self._methods: dict[str, Any] = {path: grpc.unary_unary_rpc_method_handler(method) for path, method in methods.items()}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a path, or None."""
        return self._methods.get(handler_call_details.method)


def grpc_server(intake: Intake, settings: CollectSettings) -> tuple[grpc.aio.Server, int]:
    """A server that is bound but not started, and its port.

    gRPC itself refuses what exceeds the limit, as sent or once decompressed, with RESOURCE_EXHAUSTED and in bounded memory, and
    closes connections beyond their limit: neither is heard of here, so that it cannot be counted.
    Raises BadConfigError for an address that cannot be had.
    """
    limits = [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", MAX_AT_ONCE),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.so_reuseport", 0),
    ]
    server = grpc.aio.server(options=limits)
    exports = {signal.grpc_path: _Export(signal, intake, settings.tokens).answer for signal in SIGNALS}
    server.add_generic_rpc_handlers((_Services(exports),))
    try:
        return server, _add_port(server, settings)
    except RuntimeError as error:
        raise BadConfigError(
            f"cannot listen on {settings.grpc}: it is taken or not this machine's; pass another HOST:PORT"
        ) from error


def _add_port(server: grpc.aio.Server, settings: CollectSettings) -> int:
    if settings.tls is None:
        return server.add_insecure_port(str(settings.grpc))
    return server.add_secure_port(str(settings.grpc), settings.tls.for_grpc())


def _authorization(context: Any) -> str | None:
    return next((str(value) for key, value in context.invocation_metadata() or () if key == "authorization"), None)


@dataclass(frozen=True)
class _Export:
    """The Export method of one signal."""

    signal: Signal
    intake: Intake
    tokens: Tokens

    async def answer(self, request: bytes, context: Any) -> bytes:
        """The response, or the status that tells the exporter what to do."""
        try:
            sender = self.tokens.sender(_authorization(context))
            return bytes((await self.intake.take(self.signal, request, sender)).SerializeToString())
        except UnknownSenderError as error:
            self.intake.refuse("unknown sender")
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, str(error))
        except BadInputError as error:
            self.intake.refuse("bad data")
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        except StoreBusyError as error:
            self.intake.refuse("overload")
            await _come_back(context, str(error))
        raise AssertionError("abort raises")


async def _come_back(context: Any, reason: str) -> None:
    """End the call with RESOURCE_EXHAUSTED and the RetryInfo without which exporters would drop the batch."""
    detail = AnyMessage()
    detail.Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_AFTER_S)))
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    status = Status(code=code.value[0], message=reason, details=[detail])
    await context.abort(code, reason, ((_DETAILS, status.SerializeToString()),))
