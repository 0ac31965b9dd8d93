"""Which chunk is the first token: the first one with content, told apart from role-only deltas, keep-alives and `[DONE]`.

Knows server-sent events, and in them (or as objects) the chunks of OpenAI chat completions, completions and responses and of
Anthropic messages. Any other non-empty chunk is content. Nothing that is read here is kept, but for the counts of `usage`.
"""

import json
import re
from collections.abc import Mapping
from typing import Final, NamedTuple

SSE_FIELDS: Final = ("data", "event", "id", "retry", "")
"""Field names that open a line of an event stream; the empty one is a comment. Source: WHATWG HTML, section 9.2.6."""

CONTENT_KEYS: Final = ("content", "reasoning_content", "reasoning", "tool_calls", "function_call", "refusal", "audio")
"""What a delta of OpenAI's shape may carry that a reader waits for; `role` alone is not among them."""

SILENT_TYPES: Final = frozenset({"ping", "message_start", "content_block_start"})
"""Event types of Anthropic's stream that announce content without carrying any."""

UNREADABLE: Final = (ValueError, RecursionError)
"""What the JSON parser raises of broken text, and of brackets nested a thousand deep."""

MAX_HELD_BYTES: Final = 65_536
"""How much of an unfinished event is kept; more than that without a line's end counts as content."""


class ContentWatch:
    """Says of each chunk whether it carries content; between chunks it keeps the event that is not yet whole."""

    __slots__ = ("_held", "_sse")

    def __init__(self) -> None:
        self._held = ""
        self._sse: bool | None = None

    def __call__(self, chunk: object) -> bool:
        """Whether `chunk` completes something with content."""
        if isinstance(chunk, str):
            return self._text(chunk, whole_line="\n" not in chunk)
        if isinstance(chunk, bytes | bytearray | memoryview):
            # Latin-1 never fails, and the marks looked for are ASCII.
            return self._text(str(bytes(chunk), "latin-1"), whole_line=False)
        return object_has_content(chunk)

    def _text(self, text: str, *, whole_line: bool) -> bool:
        if self._sse is None and text.strip():
            self._sse = looks_like_sse(text)
        if not self._sse:
            return bool(text.strip())
        *lines, rest = (self._held + text).split("\n")
        if any(_line_has_content(line) for line in lines):
            return True
        verdict = _line_has_content(rest)
        unfinished = verdict is None or not (whole_line or verdict)
        self._held = rest if unfinished else ""
        return bool(verdict) or len(self._held) > MAX_HELD_BYTES


def looks_like_sse(text: str) -> bool:
    """Whether `text` opens like an event stream.

    >>> looks_like_sse(": keep-alive"), looks_like_sse("data: {}"), looks_like_sse('{"data": 1}')
    (True, True, False)
    """
    name, colon, _ = text.lstrip("\ufeff\r\n").partition(":")
    return bool(colon) and name in SSE_FIELDS


def _line_has_content(line: str) -> bool | None:
    """Whether a line of an event stream carries content; None where its JSON is not whole."""
    name, _, value = line.partition(":")
    data = value.strip()
    if name != "data" or not data or "[DONE]".startswith(data):
        return False
    if not data.startswith("{"):
        return True
    try:
        return object_has_content(json.loads(data))
    except UNREADABLE:
        return None


def object_has_content(chunk: object) -> bool:
    """Whether a decoded chunk (a dict, or an object of a client library) carries content.

    >>> object_has_content({"choices": [{"delta": {"role": "assistant", "content": ""}}]})
    False
    >>> object_has_content({"choices": [{"delta": {"content": "Hi"}}]}), object_has_content({"text": "Hi"})
    (True, True)
    """
    choices = _get(chunk, "choices")
    if isinstance(choices, list | tuple):
        return any(_choice_has_content(choice) for choice in choices)
    kind = _get(chunk, "type")
    if isinstance(kind, str) and (kind in SILENT_TYPES or kind.startswith("response.")):
        return kind.endswith(".delta")
    return chunk is not None and chunk != {}


def _choice_has_content(choice: object) -> bool:
    delta = _get(choice, "delta") or _get(choice, "message")
    if delta is None:
        return bool(_get(choice, "text"))
    return any(_get(delta, key) for key in CONTENT_KEYS)


def _get(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, dict | Mapping) else getattr(holder, name, None)


FINAL_EVENTS: Final = ("[DONE]", "message_stop", "response.completed")
"""What the last event of a model's stream says; its reader may hang up then, without waiting for the body's end."""


def is_final(chunk: object) -> bool:
    """Whether `chunk` says that the stream is over, so that leaving after it is no cancellation.

    >>> is_final(b'data: [DONE]'), is_final(b'data: {"type": "message_stop"}'), is_final(b"[DONE] is a word")
    (True, True, False)
    """
    if not isinstance(chunk, bytes | str):
        return _get(chunk, "type") in FINAL_EVENTS
    text = chunk if isinstance(chunk, str) else str(chunk, "latin-1")
    last = (
        next((line for line in reversed(text[-MAX_HELD_BYTES:].splitlines()) if line.startswith("data:")), "")
        .removeprefix("data:")
        .strip()
    )
    return last == FINAL_EVENTS[0] or (last.startswith("{") and _is_final_event(last))


def _is_final_event(data: str) -> bool:
    try:
        return _get(json.loads(data), "type") in FINAL_EVENTS
    except UNREADABLE:
        return False


class Usage(NamedTuple):
    """Token counts that a chunk reports; None where it does not say."""

    input_tokens: int | None
    output_tokens: int | None


NO_USAGE: Final = Usage(None, None)
USAGE_KEY: Final = '"usage"'
VALUE: Final = re.compile(r"\s*:\s*(?=\{)")
"""From a key to the object that is its value."""


def may_hold_usage(chunk: object) -> bool:
    """Whether it is worth keeping `chunk` to read its token counts at the end; cheap enough to ask of every chunk."""
    if type(chunk) is bytes:
        # `in` would ask first whether it is told a number: half the time.
        return chunk.find(b'"usage"') >= 0
    if type(chunk) is str:
        return '"usage"' in chunk
    return _get(chunk, "usage") is not None


def usage_of(chunk: object) -> Usage:
    """The token counts in `chunk`: a JSON body, lines of an event stream, or a decoded object.

    >>> usage_of(b'data: {"usage": {"prompt_tokens": 3, "completion_tokens": 5}}')
    Usage(input_tokens=3, output_tokens=5)
    """
    if not isinstance(chunk, bytes | str):
        return _counts(_get(chunk, "usage"))
    text = chunk if isinstance(chunk, str) else str(chunk, "latin-1")
    place = text.rfind(USAGE_KEY)
    while place >= 0:
        # Only this small object is parsed: the body around it may be megabytes. In a text, the key's quotes are escaped.
        usage = _counts(_object_at(text, place + len(USAGE_KEY)))
        if usage != NO_USAGE:
            return usage
        place = text.rfind(USAGE_KEY, 0, place)
    return NO_USAGE


def _object_at(text: str, start: int) -> object:
    """The JSON value that follows a key whose text ends at `start`; None where none is whole."""
    value = VALUE.match(text, start)
    try:
        return json.JSONDecoder().raw_decode(text, value.end())[0] if value else None
    except UNREADABLE:
        return None


def _counts(usage: object) -> Usage:
    return Usage(
        _count(_get(usage, "prompt_tokens"), _get(usage, "input_tokens")),
        _count(_get(usage, "completion_tokens"), _get(usage, "output_tokens")),
    )


def _count(*candidates: object) -> int | None:
    return next((number for number in candidates if isinstance(number, int) and not isinstance(number, bool)), None)
