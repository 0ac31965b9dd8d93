"""The maths of gaps, against the plain definition over a list of chunk times."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.telemetry.stream_clock import StreamClock, StreamTimes
from tests.support.telemetry import Clock

waits_s = st.lists(st.floats(min_value=0.0, max_value=100.0), max_size=30)


def anything(chunk: object) -> bool:
    return bool(chunk)


def play(waits: list[float], *, tail_s: float, cut: bool, contents: list[bool] | None = None) -> StreamTimes:
    clock = Clock()
    stream = StreamClock(clock, content=anything)
    for number, wait_s in enumerate(waits):
        clock.pass_s(wait_s)
        stream.chunk(contents[number] if contents else True)
    clock.pass_s(tail_s)
    return stream.read(ended_s=clock(), cut=cut)


def test_a_stream_of_three_chunks_has_two_gaps() -> None:
    times = play([2.0, 0.5, 1.5], tail_s=9.0, cut=False)
    assert (times.first_token_s, times.max_gap_s, times.open_gap_s, times.chunks) == (2.0, 1.5, None, 3)
    assert times.duration_s == pytest.approx(13.0)


def test_the_silence_before_the_first_chunk_is_no_gap() -> None:
    assert play([30.0, 0.5], tail_s=0.0, cut=False).max_gap_s == pytest.approx(0.5)


def test_a_cut_ends_the_last_silence_and_counts_it() -> None:
    times = play([1.0, 0.5], tail_s=4.0, cut=True)
    assert times.open_gap_s == pytest.approx(4.0)
    assert times.max_gap_s == pytest.approx(4.0)


def test_a_single_whole_chunk_has_no_gap() -> None:
    times = play([1.0], tail_s=1.0, cut=False)
    assert (times.max_gap_s, times.open_gap_s) == (None, None)


def test_a_call_cut_before_its_first_chunk_has_no_gap() -> None:
    times = play([], tail_s=3.0, cut=True)
    assert (times.max_gap_s, times.open_gap_s, times.first_token_s, times.chunks) == (None, None, None, 0)


def test_chunks_without_content_end_silences_but_are_no_token() -> None:
    times = play([1.0, 1.0, 1.0], tail_s=0.0, cut=False, contents=[False, False, True])
    assert times.first_token_s == pytest.approx(3.0)
    assert times.max_gap_s == pytest.approx(1.0)


def test_headers_are_the_first_byte_once() -> None:
    clock = Clock()
    stream = StreamClock(clock)
    clock.pass_s(0.25)
    stream.headers()
    clock.pass_s(1.0)
    stream.headers()
    assert stream.read(ended_s=clock(), cut=False).first_byte_s == pytest.approx(0.25)


def test_a_clock_that_starts_late_counts_what_has_passed() -> None:
    clock = Clock()
    stream = StreamClock(clock, content=anything, elapsed_s=2.0)
    clock.pass_s(1.0)
    stream.chunk("x")
    assert stream.read(ended_s=clock(), cut=False).first_token_s == pytest.approx(3.0)


@given(waits=waits_s, tail_s=st.floats(min_value=0.0, max_value=100.0), cut=st.booleans())
def test_gaps_are_those_of_the_definition(waits: list[float], tail_s: float, cut: bool) -> None:
    times = play(waits, tail_s=tail_s, cut=cut)
    silences = waits[1:] + ([tail_s] if cut and waits else [])
    assert times.max_gap_s == (pytest.approx(max(silences), abs=1e-9) if silences else None)
    assert times.duration_s == pytest.approx(sum(waits) + tail_s, abs=1e-6)
    assert times.chunks == len(waits)
