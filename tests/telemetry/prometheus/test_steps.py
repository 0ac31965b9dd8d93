"""Which steps a window is read in: whole ones, at round times, none that may still change."""

from datetime import UTC, datetime, timedelta

import pytest

from meshslo.telemetry.prometheus.api import Steps
from meshslo.telemetry.pull.prometheus import LATE_S, parts_of

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
NOON_S = int(NOON.timestamp())
LATER = NOON_S + 1e6


@pytest.mark.parametrize("hours", [1, 24, 26])
def test_a_day_is_read_by_the_minute(hours: int) -> None:
    assert parts_of(NOON - timedelta(hours=hours), NOON, "auto", LATER) == [Steps(NOON_S - hours * 3600, 60, hours * 60)]


@pytest.mark.parametrize("hours", [27, 7 * 24, 30 * 24])
def test_more_is_read_by_the_hour_and_the_newest_hour_by_the_minute(hours: int) -> None:
    parts = parts_of(NOON - timedelta(hours=hours), NOON + timedelta(minutes=20), "auto", LATER)
    assert parts == [Steps(NOON_S - hours * 3600, 3600, hours - 1), Steps(NOON_S - 3600, 60, 80)]


def test_the_parts_of_a_long_window_leave_no_gap_up_to_what_may_still_change() -> None:
    hours, minutes = parts_of(NOON - timedelta(days=7, minutes=9), NOON, "auto", NOON_S)
    assert hours.until_s == minutes.since_s
    assert minutes.until_s == NOON_S - LATE_S


@pytest.mark.parametrize(("text", "step_s"), [("15s", 15), ("2m", 120), ("1h", 3600)])
@pytest.mark.parametrize("hours", [2, 7 * 24])
def test_a_step_may_be_given(text: str, step_s: int, hours: int) -> None:
    (steps,) = parts_of(NOON - timedelta(hours=hours), NOON, text, LATER)
    assert steps == Steps(NOON_S - hours * 3600, step_s, hours * 3600 // step_s)


def test_steps_begin_at_round_times_wherever_the_window_does() -> None:
    since = NOON - timedelta(minutes=10, seconds=7)
    assert parts_of(since, NOON + timedelta(seconds=31), "1m", LATER) == [Steps(NOON_S - 11 * 60, 60, 11)]


def test_what_may_still_change_is_left_for_the_next_pull() -> None:
    (steps,) = parts_of(NOON - timedelta(hours=1), NOON, "1m", NOON_S)
    assert steps.until_s == NOON_S - LATE_S


def test_a_window_shorter_than_a_step_has_none() -> None:
    assert parts_of(NOON - timedelta(seconds=30), NOON, "1h", NOON_S) == []
