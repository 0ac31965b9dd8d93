"""What is predicted of a policy, from calls measured without it, against what a real Envoy then does."""

from functools import cache
from typing import Any

import pytest

from meshslo.analysis.api import from_calls
from meshslo.analysis.simulate import Simulation, read_mesh
from tests.support.proposals import breaker, retries
from tests.support.scripted import Run, play, script

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.alone]

SCRIPT = script(200, 3.3, failing=0.15, seed=3)
POLICIES: dict[str, dict[str, Any]] = {
    "open": {"policy": {"timeout": "0s"}},
    "repeating": {
        "policy": {"timeout": "0.6s", "retry_policy": retries(2, per_try_timeout="0.25s")},
        "cluster": breaker(max_retries=1000),
    },
    "cut_early": {"policy": {"timeout": "0.35s"}},
    "cut_late": {"policy": {"timeout": "0.7s"}},
    "idle": {"policy": {"timeout": "0s", "idle_timeout": "0.25s"}},
    "little_room": {
        "policy": {"timeout": "0s", "retry_policy": retries(2)},
        "cluster": breaker(retry_budget={"budget_percent": {"value": 1.0}, "min_retry_concurrency": 1}),
    },
}


BUSY_S = (0.015, 0.08)
"""A sixteenth of the shortest timer, and a third: where a machine stalls for longer, calls seem longer than their timers."""
TRIES = 3


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("envoy")

    @cache
    def once(name: str) -> Run:
        for _ in range(TRIES):
            run = play(SCRIPT, folder / name, **POLICIES[name])
            if all(lag_s <= most_s for lag_s, most_s in zip(run.lags_s, BUSY_S, strict=True)):
                return run
        pytest.skip(
            f"this machine is too busy to compare timers: it woke {run.lags_s[1]:.3f} s late in the last of {TRIES} runs"
        )

    return once


def predicted(before: Run, after: Run) -> Simulation:
    return from_calls(before.calls).simulate(read_mesh({"envoy.yaml": after.text}))


@pytest.mark.parametrize(
    ("before", "after"),
    [("open", "repeating"), ("open", "idle"), ("open", "little_room"), ("cut_late", "cut_early"), ("cut_early", "cut_late")],
)
def test_envoy_does_what_was_predicted(played: Any, before: str, after: str) -> None:
    figures = predicted(played(before), played(after)).rows[0].figures
    for name in ("cut_ratio", "success_ratio", "amplification"):
        figure, measured = figures[name].after, getattr(played(after), name)
        assert figure.low <= measured <= figure.high, name


def test_predictions_say_something(played: Any) -> None:
    repeating = predicted(played("open"), played("repeating")).rows[0].figures
    assert repeating["amplification"].after.low > 1.2
    assert repeating["cut_ratio"].after.low > 0.05
    for after in ("idle", "little_room"):
        figures = predicted(played("open"), played(after)).rows[0].figures
        assert all(figures[name].after.high - figures[name].after.low < 0.25 for name in ("cut_ratio", "amplification"))


def test_what_a_cap_hides_is_answered_with_bounds(played: Any) -> None:
    cut = predicted(played("cut_early"), played("cut_late")).rows[0].figures["cut_ratio"].after
    assert (cut.value, cut.low, cut.status) == (None, 0.0, "bounded")
    assert cut.high >= played("cut_early").cut_ratio
