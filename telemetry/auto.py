"""No line of code: what `opentelemetry-instrument` finds through its entry points.

One instrumentor a library, so that `OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=meshslo_httpx` switches one off. Each sets the SDK
up first where nothing else has (opentelemetry-distro may). They are no BaseInstrumentor: that would make every service
install the package that brings it, and only the two methods are ever called.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .patching import after, patch, restore
from .sdk import setup


class Instrumentor:
    """The two methods that OpenTelemetry calls; arguments it passes are for its own base class."""

    def instrument(self, **_: object) -> None:
        """Set up what is not, and measure the library from now on; ModuleNotFoundError where it is not installed."""
        setup()
        for owner, name, around in self._patches():
            patch(owner, name, around)

    def uninstrument(self, **_: object) -> None:
        """Leave what is made from now on unmeasured."""
        for owner, name, _around in self._patches():
            restore(owner, name)

    def _patches(self) -> list[tuple[Any, str, Any]]:
        raise NotImplementedError


class AsgiInstrumentor(Instrumentor):
    """Every Starlette and FastAPI application serves under `MeshsloMiddleware`."""

    def _patches(self) -> list[tuple[Any, str, Any]]:
        from starlette.applications import Starlette

        return [(owner, "build_middleware_stack", _served) for owner in (Starlette, *_fastapi())]


class HttpxInstrumentor(Instrumentor):
    """Every httpx client is measured as by `instrument_httpx`."""

    def _patches(self) -> list[tuple[Any, str, Any]]:
        from .httpx_client import instrument_httpx
        from .httpx_transport import LIBRARIES

        present = [import_module(name) for name in LIBRARIES if find_spec(name)]
        if not present:
            raise ModuleNotFoundError(f"none of {', '.join(LIBRARIES)} is installed")
        clients = [client for library in present for client in (library.Client, library.AsyncClient)]
        return [(client, "__init__", after(instrument_httpx)) for client in clients]


class OpenAIInstrumentor(Instrumentor):
    """Every openai client is measured as by `instrument_openai`."""

    def _patches(self) -> list[tuple[Any, str, Any]]:
        import openai

        from .openai_client import instrument_openai

        return [(client, "__init__", after(instrument_openai)) for client in (openai.OpenAI, openai.AsyncOpenAI)]


class GrpcInstrumentor(Instrumentor):
    """Every gRPC server and channel, of asyncio or of threads, is measured as by the interceptors of both modules."""

    def _patches(self) -> list[tuple[Any, str, Any]]:
        import grpc

        channels = ("insecure_channel", "secure_channel")
        return [
            (grpc.aio, "server", _intercepted),
            *((grpc.aio, name, _channel) for name in channels),
            (grpc, "server", _sync_intercepted),
            *((grpc, name, _sync_channel) for name in channels),
        ]


def _intercepted(make: Any) -> Any:
    from .grpc_aio import grpc_server_interceptor

    def patched(*args: Any, interceptors: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        return make(*args, interceptors=[grpc_server_interceptor(), *(interceptors or ())], **kwargs)

    return patched


def _channel(make: Any) -> Any:
    from .grpc_aio import grpc_client_interceptors

    def patched(target: str, *args: Any, interceptors: Sequence[Any] | None = None, **kwargs: Any) -> Any:
        return make(target, *args, interceptors=[*grpc_client_interceptors(target), *(interceptors or ())], **kwargs)

    return patched


def _sync_intercepted(make: Any) -> Any:
    from .grpc_sync import grpc_sync_server_interceptor

    def patched(pool: Any, handlers: Any = None, interceptors: Sequence[Any] | None = None, *args: Any, **kwargs: Any) -> Any:
        return make(pool, handlers, [grpc_sync_server_interceptor(), *(interceptors or ())], *args, **kwargs)

    return patched


def _sync_channel(make: Any) -> Any:
    import grpc

    from .grpc_sync import grpc_sync_client_interceptors

    def patched(target: str, *args: Any, **kwargs: Any) -> Any:
        return grpc.intercept_channel(make(target, *args, **kwargs), *grpc_sync_client_interceptors(target))

    return patched


def _fastapi() -> list[type]:
    """FastAPI builds its stack by itself; none where it is not installed."""
    try:
        from fastapi import FastAPI
    except ModuleNotFoundError:
        return []
    return [FastAPI]


def _served(build: Any) -> Any:
    from starlette.middleware.errors import ServerErrorMiddleware

    from .asgi import MeshsloMiddleware

    def patched(self: Any) -> Any:
        # FastAPI's contrib instrumentation gives up unless it finds this class outermost. Here it has nothing left to answer.
        return ServerErrorMiddleware(MeshsloMiddleware(build(self)))

    return patched
