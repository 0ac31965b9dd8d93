"""Calls in JSON Lines: quick where the first lines tell the truth of the rest, right where they do not."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.sources import json_calls
from tests.telemetry.sources.reading import read


def test_json_lines_need_not_all_have_all_keys() -> None:
    calls, tally = read(
        b'{"start": 1793610000, "duration_s": 1}\n{"duration_s": "2", "start": 1793610001, "model": "m", "streaming": true}\n'
    )
    assert calls.select("duration_s", "model", "streaming").rows() == [(1.0, None, None), (2.0, "m", True)]
    assert tally.taken == 2


@pytest.mark.parametrize("line", [b"not json", b"[1]", b'{"start": ', b"null"])
def test_a_line_that_is_no_json_object_is_named(line: bytes) -> None:
    good = b'{"start": 1793610000, "duration_s": 1}\n'
    calls, tally = read(good + b"\n" + line + b"\n" + good)
    assert (calls.height, tally.bad, tally.reasons[0].line) == (2, 1, 3)


_VALUES = {
    "start": st.just(1793610000) | st.just("2026-11-02T09:00:00Z"),
    "duration_s": st.integers(1, 9) | st.just(2.5) | st.just("3"),
    "model": st.sampled_from(["m", "a:b", 'say "hi"', "null", "x\\y", ""]) | st.none() | st.integers(0, 3),
    "first_token_s": st.none() | st.just(0.25),
    "tenant": st.none() | st.just("t"),
}
_FIRST = st.just({"start": 1793610000, "duration_s": 1, "model": "m"})


@pytest.mark.slow
@given(
    st.lists(st.fixed_dictionaries({}, optional=_VALUES), max_size=5),
    st.sampled_from([None, (",", ":"), (", ", " : ")]),
    _FIRST,
)
@settings(deadline=None, max_examples=100)
def test_what_the_first_lines_tell_never_hides_what_comes_later(
    documents: list[dict[str, Any]], separators: tuple[str, str] | None, head: dict[str, Any]
) -> None:
    lines = [json.dumps(document, separators=separators) for document in [head, *documents]]
    data = "\n".join(lines).encode()
    with pytest.MonkeyPatch.context() as patched:
        # As in a file whose later blocks have other keys and types than its first lines.
        patched.setattr(json_calls, "_HEAD_LINES", 1)
        quick, _ = read(data)
        patched.setattr(json_calls, "_as_expected", lambda block, types: None)
        plain, _ = read(data)
    assert_frame_equal(quick, plain)
