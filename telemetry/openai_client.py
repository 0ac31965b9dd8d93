"""Client side for the openai package (and others made by the same generator): model, operation and tokens of each attempt.

There is no span around the request: each attempt is one CLIENT span of the HTTP client below, so that a retried request is
several calls and none is counted twice. What is said here of a request lands on those spans.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, Final, TypeVar

from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.util.types import AttributeValue

from .call import stating
from .httpx_client import instrument_httpx
from .names import MODEL, OPERATION, PROVIDER, STREAMING
from .outgoing import TEMPLATE, ClientSettings

OPERATIONS: Final[Mapping[str, str]] = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/completions": "text_completion",
    "/embeddings": "embeddings",
    "/rerank": "rerank",
}
"""Path of a request -> `gen_ai.operation.name`. Source: GenAI conventions 1.41; rerank is a proposal there."""

PROVIDERS: Final[Mapping[str, str]] = {
    "api.openai.com": "openai",
    "openai.azure.com": "azure.ai.openai",
    "api.mistral.ai": "mistral_ai",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.x.ai": "x_ai",
    "api.perplexity.ai": "perplexity",
}
"""Host (or what it ends in) -> `gen_ai.provider.name`. Any other may serve anything by this protocol: no name is given."""

Client = TypeVar("Client")


def instrument_openai(
    client: Client,
    settings: ClientSettings | None = None,
    *,
    tracer_provider: trace.TracerProvider | None = None,
) -> Client:
    """`client` (OpenAI or AsyncOpenAI) itself, from now on measured: a CLIENT span an attempt, to the end of its stream.

    The span states operation, model, attempt and token counts (those of a stream where `stream_options` ask for usage), never
    what was asked or answered. Copies (`with_options`) are measured too. Instrumenting twice changes nothing.
    """
    anything: Any = client
    instrument_httpx(anything._client, settings, tracer_provider=tracer_provider)  # noqa: SLF001 - no public way to it
    if not hasattr(anything.request, "__wrapped__"):
        anything.request = _stated(anything.request, str(anything.base_url))
        for copying in ("copy", "with_options"):
            again = partial(instrument_openai, settings=settings, tracer_provider=tracer_provider)
            setattr(anything, copying, _then(getattr(anything, copying), again))
    return client


def _then(make: Callable[..., Any], act: Callable[[Any], Any]) -> Callable[..., Any]:
    """`make`, with `act` on what it makes."""

    @wraps(make)
    def made(*args: Any, **kwargs: Any) -> Any:
        return act(make(*args, **kwargs))

    return made


def _stated(request: Callable[..., Any], base_url: str) -> Callable[..., Any]:
    """`request` of a client, with what its options say of the call in the context."""
    if inspect.iscoroutinefunction(request):

        @wraps(request)
        async def asked(cast_to: Any, options: Any, **kwargs: Any) -> Any:
            token = attach(stating(_attributes(options, base_url)))
            try:
                return await request(cast_to, options, **kwargs)
            finally:
                detach(token)

    else:

        @wraps(request)
        def asked(cast_to: Any, options: Any, **kwargs: Any) -> Any:
            token = attach(stating(_attributes(options, base_url)))
            try:
                return request(cast_to, options, **kwargs)
            finally:
                detach(token)

    return asked


def _attributes(options: Any, base_url: str) -> dict[str, AttributeValue]:
    """What the request is, from its path and two fields of its body."""
    path = str(options.url)
    suffix = next((suffix for suffix in OPERATIONS if path == suffix or path.endswith(f"/{suffix.lstrip('/')}")), None)
    if suffix is None:
        return {}
    body = options.json_data if isinstance(options.json_data, Mapping) else {}
    host, _, base_path = base_url.partition("://")[2].partition("/")
    said: dict[str, AttributeValue | None] = {
        OPERATION: OPERATIONS[suffix],
        MODEL: str(body["model"]) if body.get("model") else None,
        STREAMING: bool(body.get("stream")),
        PROVIDER: next((name for end, name in PROVIDERS.items() if host.partition(":")[0].endswith(end)), None),
        TEMPLATE: f"/{base_path.strip('/')}{suffix}" if base_path.strip("/") else suffix,
    }
    return {name: value for name, value in said.items() if value is not None}
