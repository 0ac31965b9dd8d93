"""`hop`: a call that no instrumentation sees, measured by hand, as context manager or decorator.

For a driver, another vendor's client, or a model in this process: embed, retrieve, rerank, generate. Around a client that is
measured already it would count the call a second time.
"""

import inspect
from collections.abc import Callable
from contextvars import Token
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, Self, TypeVar, Unpack

from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.util.types import AttributeValue

from . import names
from .call import Call, Calls
from .labels import Labels, attributes_of
from .stream import ObservedAsyncStream, ObservedStream

PEER: Final = "service.peer.name"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Hop:
    """A call to be made: enter it, or put it around a function. Each entry is one span."""

    def __init__(self, callee: str, *, remote: bool, attributes: dict[str, AttributeValue]) -> None:
        self._callee = callee
        self._remote = remote
        self._attributes = attributes
        self._entered: list[tuple[Call, Token[Context]]] = []

    def __enter__(self) -> Call:
        call = self._start()
        self._entered.append((call, attach(set_span_in_context(call.span, get_current()))))
        return call

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        call, token = self._entered.pop()
        detach(token)
        if error is None:
            call.complete()
        else:
            call.fail(error)

    async def __aenter__(self) -> Call:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __call__(self, function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        """`function`, each call of it measured; a generator's as a stream, to its last chunk."""
        return wraps(function)(_measured(function, self))

    def again(self) -> Self:
        """The same hop, for another entry at the same time."""
        return type(self)(self._callee, remote=self._remote, attributes=self._attributes)

    def stream(self, chunks: Any) -> Any:
        """`chunks` (of a generator) as a stream of this hop, made in its context."""
        call = self._start()
        context = set_span_in_context(call.span, get_current())
        kind = ObservedAsyncStream if hasattr(chunks, "__aiter__") else ObservedStream
        return kind(chunks, call, context)

    def _start(self) -> Call:
        operation = self._attributes.get(names.OPERATION)
        of = self._attributes.get(names.MODEL) or self._attributes.get(names.DATA_SOURCE) or self._callee
        name = f"{operation} {of}" if operation else self._callee
        kind = SpanKind.CLIENT if self._remote else SpanKind.INTERNAL
        return Calls().start(name, kind, {PEER: self._callee, **self._attributes})


def hop(callee: str, *, remote: bool = True, **labels: Unpack[Labels]) -> Hop:
    """Measure a call of `callee`: a context manager (`with ... as call`) or a decorator of the function that makes it.

    `operation` is a GenAI operation name: embeddings, retrieval, rerank, chat, ... ; further labels as of `current_call().set`.
    What is known only afterwards is stated inside: `call.set(documents=8, input_tokens=120)`. An exception ends it with the
    outcome it stands for. `remote=False` is a component in this process (an INTERNAL span).
    """
    return Hop(callee, remote=remote, attributes=attributes_of(labels))


def _measured(function: Callable[..., Any], made: Hop) -> Callable[..., Any]:
    if inspect.isasyncgenfunction(function) or inspect.isgeneratorfunction(function):
        return lambda *args, **kwargs: made.stream(function(*args, **kwargs))
    if inspect.iscoroutinefunction(function):

        async def awaited(*args: Any, **kwargs: Any) -> Any:
            with made.again():
                return await function(*args, **kwargs)

        return awaited

    def called(*args: Any, **kwargs: Any) -> Any:
        with made.again():
            return function(*args, **kwargs)

    return called
