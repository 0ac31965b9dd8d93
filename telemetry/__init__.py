"""What happened: instrumentation of services, collection, the canonical call row, sources, the store.

A service needs one line, `meshslo.telemetry.setup("gateway")`, and a middleware or a client hook:

    setup           send spans to a collector                    (sdk)
    MeshsloMiddleware   the server side of an ASGI application   (asgi)
    instrument_httpx    the client side of httpx and httpx2      (httpx_client)
    instrument_openai   models behind the openai client          (openai_client)
    observe_stream  any iterator of chunks                       (stream)
    grpc_server_interceptor, grpc_client_interceptors            (grpc_aio; needs grpcio, so `import *` leaves them out)
    grpc_sync_server_interceptor, grpc_sync_client_interceptors  (grpc_sync; the same for threads)
    hop             any other call: embed, retrieve, rerank      (hops)
    time_limit      a timer that calls can tell from leaving     (time_limits)
    current_call    state model, tenant, tokens of the request   (call)

Importing this package loads none of it until it is asked for, and then OpenTelemetry only; collector, store and sources import
what the `analysis` extra brings.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .asgi import MeshsloMiddleware
    from .baggage import LabelPolicy
    from .call import Call, current_call
    from .grpc_aio import grpc_client_interceptors as grpc_client_interceptors
    from .grpc_aio import grpc_server_interceptor as grpc_server_interceptor
    from .grpc_sync import grpc_sync_client_interceptors as grpc_sync_client_interceptors
    from .grpc_sync import grpc_sync_server_interceptor as grpc_sync_server_interceptor
    from .hops import Hop, hop
    from .httpx_client import instrument_httpx
    from .incoming import ServerSettings
    from .openai_client import instrument_openai
    from .outgoing import ClientSettings
    from .sdk import SetupSettings, Telemetry, setup
    from .stream import ObservedAsyncStream, ObservedStream, observe_stream
    from .time_limits import time_limit

__all__ = [
    "Call",
    "ClientSettings",
    "Hop",
    "LabelPolicy",
    "MeshsloMiddleware",
    "ObservedAsyncStream",
    "ObservedStream",
    "ServerSettings",
    "SetupSettings",
    "Telemetry",
    "current_call",
    "hop",
    "instrument_httpx",
    "instrument_openai",
    "observe_stream",
    "setup",
    "time_limit",
]

_HOMES: Final = {
    "Call": "call",
    "ClientSettings": "outgoing",
    "Hop": "hops",
    "MeshsloMiddleware": "asgi",
    "ObservedAsyncStream": "stream",
    "ObservedStream": "stream",
    "LabelPolicy": "baggage",
    "ServerSettings": "incoming",
    "SetupSettings": "sdk",
    "Telemetry": "sdk",
    "current_call": "call",
    "grpc_client_interceptors": "grpc_aio",
    "grpc_server_interceptor": "grpc_aio",
    "grpc_sync_client_interceptors": "grpc_sync",
    "grpc_sync_server_interceptor": "grpc_sync",
    "hop": "hops",
    "instrument_httpx": "httpx_client",
    "instrument_openai": "openai_client",
    "observe_stream": "stream",
    "setup": "sdk",
    "time_limit": "time_limits",
}
"""The module that each public name lives in; loaded when the name is first used, so that the command line stays quick."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
