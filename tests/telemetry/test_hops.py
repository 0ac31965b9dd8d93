"""hop: calls measured by hand, with the names of the GenAI conventions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from meshslo.telemetry import hop, names
from meshslo.telemetry.call import Call
from tests.support.telemetry import Recorder, recorder


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorded = recorder("retriever")
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: recorded.provider)
    return recorded


def attributes(spans: Recorder) -> dict[str, Any]:
    return dict(spans.one().attributes or {})


def test_a_retrieval_is_a_client_span_named_by_convention(spans: Recorder) -> None:
    with hop("vectors", operation="retrieval", data_source="manuals", top_k=20) as call:
        call.set(documents=8)
    span = spans.one()
    assert (span.name, span.kind) == ("retrieval manuals", SpanKind.CLIENT)
    assert attributes(spans) == {
        "service.peer.name": "vectors",
        names.OPERATION: "retrieval",
        "gen_ai.data_source.id": "manuals",
        "gen_ai.request.top_k": 20,
        names.DOCUMENTS: 8,
        names.OUTCOME: "ok",
        names.STREAMING: False,
    }


@pytest.mark.parametrize(
    ("labels", "name"),
    [
        ({"operation": "embeddings", "model": "e5"}, "embeddings e5"),
        ({"operation": "rerank"}, "rerank engine"),
        ({}, "engine"),
    ],
)
def test_spans_are_named_by_what_is_known(spans: Recorder, labels: Any, name: str) -> None:
    with hop("engine", remote=False, **labels):
        pass
    assert (spans.one().name, spans.one().kind) == (name, SpanKind.INTERNAL)


@pytest.mark.parametrize(
    ("error", "outcome"), [(TimeoutError(), "timeout"), (ValueError(), "error"), (ConnectionRefusedError(), "rejected")]
)
def test_an_exception_ends_it_with_its_outcome(spans: Recorder, error: Exception, outcome: str) -> None:
    with pytest.raises(type(error)), hop("vectors"):
        raise error
    assert attributes(spans)[names.OUTCOME] == outcome


async def test_functions_of_every_kind_can_be_hops(spans: Recorder) -> None:
    @hop("plain")
    def plain(number: int) -> int:
        """Its docstring."""
        return number + 1

    @hop("awaited")
    async def awaited() -> int:
        await asyncio.sleep(0)
        return 2

    @hop("generated")
    def generated() -> Iterator[str]:
        yield from "ab"

    @hop("streamed")
    async def streamed() -> AsyncIterator[str]:
        for chunk in "abc":
            yield chunk

    assert (plain(1), await awaited(), list(generated()), [c async for c in streamed()]) == (2, 2, ["a", "b"], ["a", "b", "c"])
    assert plain.__doc__ == "Its docstring."
    seen = {span.name: dict(span.attributes or {}) for span in spans.spans()}
    assert list(seen) == ["plain", "awaited", "generated", "streamed"]
    assert (seen["generated"][names.CHUNKS], seen["streamed"][names.CHUNKS]) == (2, 3)


async def test_concurrent_calls_of_one_function_are_spans_of_their_own(spans: Recorder) -> None:
    @hop("embedder", operation="embeddings")
    async def embed(wait_s: float) -> None:
        with hop(f"inner-{wait_s}", remote=False):
            await asyncio.sleep(wait_s)

    await asyncio.gather(embed(0.02), embed(0.01))
    inner = {span.name: span for span in spans.spans(SpanKind.INTERNAL)}
    outer = {span.context.span_id for span in spans.spans(SpanKind.CLIENT)}
    parents = {span.parent.span_id for span in inner.values() if span.parent}
    assert parents == outer
    assert len(outer) == 2


async def test_what_a_stream_calls_is_its_child_and_nothing_leaks_between_chunks(spans: Recorder) -> None:
    @hop("model", operation="chat")
    async def generate() -> AsyncIterator[str]:
        with hop("cache", remote=False):
            pass
        yield "a"

    before = trace.get_current_span()
    async for _ in generate():
        assert trace.get_current_span() is before
    (cache,), (model,) = spans.spans(SpanKind.INTERNAL), spans.spans(SpanKind.CLIENT)
    assert cache.parent is not None
    assert cache.parent.span_id == model.context.span_id


def test_a_hop_can_be_entered_again_inside_itself(spans: Recorder) -> None:
    again = hop("tree")
    with again as outer, again as inner:
        assert isinstance(outer, Call)
        assert outer is not inner
    child, parent = spans.spans()
    assert child.parent is not None
    assert child.parent.span_id == parent.context.span_id
