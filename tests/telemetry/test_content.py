"""The first token, told from everything that comes before it."""

import json
from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.telemetry.content import ContentWatch, Usage, may_hold_usage, object_has_content, usage_of


def event(**delta: object) -> bytes:
    return b"data: " + json.dumps({"choices": [{"delta": delta}]}).encode() + b"\n\n"


SILENT = [
    b": keep-alive\n\n",
    b'event: ping\ndata: {"type": "ping"}\n\n',
    b"data: [DONE]\n\n",
    b"\n",
    b"retry: 3000\n\n",
    event(role="assistant", content=""),
    event(role="assistant", content=None),
    b'data: {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}\n\n',
    b'data: {"type": "message_start", "message": {"role": "assistant"}}\n\n',
    b'data: {"type": "response.created"}\n\n',
]
SPEAKING = [
    event(content="Hello"),
    event(reasoning_content="hm"),
    event(tool_calls=[{"index": 0}]),
    b'data: {"choices": [{"text": "Hello"}]}\n\n',
    b'data: {"type": "content_block_delta", "delta": {"text": "Hi"}}\n\n',
    b'data: {"type": "response.output_text.delta", "delta": "Hi"}\n\n',
    b"data: plain words\n\n",
    b'data: {"token": "Hi"}\n\n',
]


@pytest.mark.parametrize("chunk", SILENT)
def test_announcements_are_no_content(chunk: bytes) -> None:
    watch = ContentWatch()
    watch(b": open\n\n")
    assert not watch(chunk)


@pytest.mark.parametrize("chunk", SPEAKING)
def test_the_shapes_of_tokens_are_content(chunk: bytes) -> None:
    watch = ContentWatch()
    assert not watch(b"".join(SILENT))
    assert watch(chunk)


@given(cuts=st.lists(st.integers(0, 400), max_size=12), speaking=st.sampled_from(SPEAKING))
def test_where_the_network_cuts_a_stream_does_not_matter(cuts: list[int], speaking: bytes) -> None:
    text = b"".join(SILENT[:1] + SILENT[5:8]) + speaking
    edges = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    watch = ContentWatch()
    verdicts = [watch(piece) for piece in pieces]
    first = verdicts.index(True)
    assert sum(map(len, pieces[: first + 1])) > len(text) - len(speaking)


def test_lines_without_their_newline_are_read_one_by_one() -> None:
    watch = ContentWatch()
    lines = [
        ": ping",
        "",
        'data: {"choices": [{"delta": {"role": "assistant"}}]}',
        "",
        'data: {"choices": [{"delta": {"content": "x"}}]}',
    ]
    assert [watch(line) for line in lines] == [False, False, False, False, True]


def test_a_body_that_is_no_event_stream_is_content_at_once() -> None:
    assert ContentWatch()(b'{"answer": 42}')
    assert ContentWatch()("words")
    assert not ContentWatch()(b"  \n")


def test_an_event_without_end_is_content_in_bounded_memory() -> None:
    watch = ContentWatch()
    verdicts = [watch(b'data: {"a": "' if number == 0 else b"x" * 10_000) for number in range(10)]
    assert verdicts.index(True) <= 7


def test_objects_of_a_client_library_are_understood() -> None:
    role = SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(role="assistant", content=None))])
    word = SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(role=None, content="Hi"))])
    assert not object_has_content(role)
    assert object_has_content(word)


@given(st.binary(max_size=300))
def test_no_bytes_upset_it(data: bytes) -> None:
    assert ContentWatch()(data) in (True, False)
    assert isinstance(usage_of(data), Usage)


def test_usage_is_read_from_bodies_events_and_objects() -> None:
    body = b'{"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}'
    assert may_hold_usage(body)
    assert usage_of(body) == Usage(3, 5)
    assert usage_of(b"data: " + body + b"\n\ndata: [DONE]\n\n") == Usage(3, 5)
    assert usage_of('data: {"usage": null}') == Usage(None, None)
    counts = SimpleNamespace(input_tokens=7, output_tokens=9)
    assert usage_of(SimpleNamespace(usage=counts)) == Usage(7, 9)
    assert not may_hold_usage(b"data: x")


@pytest.mark.parametrize(
    ("chunk", "usage"),
    [
        (b'{"data": [' + b"0.1," * 300_000 + b'0], "usage" : {"prompt_tokens": 4}}', Usage(4, None)),
        (b'tail of a split body"}], "usage": {"prompt_tokens": 4, "completion_tokens": 2}}', Usage(4, 2)),
        (b'{"usage": {"prompt_tokens": 4}}\n{"usage": null}', Usage(4, None)),
        (b'{"content": "say \\"usage\\": {\\"prompt_tokens\\": 9}"}', Usage(None, None)),
        (b'{"usage": {"prompt_tokens": true, "completion_tokens": "5"}}', Usage(None, None)),
        (b'{"usage": {"prompt_tokens": 4', Usage(None, None)),
        (b'{"usage": {"a": ' + b"[" * 100_000, Usage(None, None)),
    ],
)
def test_usage_is_read_wherever_it_stands_and_nothing_else_is(chunk: bytes, usage: Usage) -> None:
    assert usage_of(chunk) == usage


def test_brackets_nested_without_end_are_no_content_and_no_harm() -> None:
    assert not ContentWatch()(b'data: {"choices": ' + b"[" * 60_000)
