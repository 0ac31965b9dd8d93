"""Which steps a window is read in: whole ones, at round times, none that may still change."""

from datetime import UTC, datetime, timedelta

import pytest

from meshslo.telemetry.prometheus.api import Steps
from meshslo.telemetry.pull.prometheus import LATE_S, steps_of

NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)
LATER = NOON.timestamp() + 1e6


@pytest.mark.parametrize(("hours", "step_s"), [(1, 60), (24, 60), (7 * 24, 300), (30 * 24, 3600)])
def test_longer_windows_are_read_in_longer_steps(hours: int, step_s: int) -> None:
    steps = steps_of(NOON - timedelta(hours=hours), NOON, "auto", LATER)
    assert (steps.step_s, steps.step_s * steps.count) == (step_s, hours * 3600)


@pytest.mark.parametrize(("text", "step_s"), [("15s", 15), ("2m", 120), ("1h", 3600)])
def test_a_step_may_be_given(text: str, step_s: int) -> None:
    assert steps_of(NOON - timedelta(hours=2), NOON, text, LATER).step_s == step_s


def test_steps_begin_at_round_times_wherever_the_window_does() -> None:
    since = NOON - timedelta(minutes=10, seconds=7)
    steps = steps_of(since, NOON + timedelta(seconds=31), "1m", LATER)
    assert steps == Steps(int(NOON.timestamp()) - 11 * 60, 60, 11)


def test_what_may_still_change_is_left_for_the_next_pull() -> None:
    steps = steps_of(NOON - timedelta(hours=1), NOON, "1m", NOON.timestamp())
    assert steps.until_s == NOON.timestamp() - LATE_S


def test_a_window_shorter_than_a_step_has_none() -> None:
    assert steps_of(NOON - timedelta(seconds=30), NOON, "1h", NOON.timestamp()).count == 0
