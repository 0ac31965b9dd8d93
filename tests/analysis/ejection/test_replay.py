"""Envoy's algorithm, against answers worked by hand and against the real Envoy."""

import json
import random
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.ejection.answers import GATEWAY_FAILURE, GOOD, SERVER_ERROR, Answers, answers_of
from meshslo.analysis.ejection.replay import Rules, replay
from tests.support.calls import make_call, make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port
from tests.support.pods import Answer, Pod, ask_at, serving

RULES = Rules(consecutive_5xx=3, interval_s=1.0, base_ejection_time_s=2.0, max_ejection_percent=50)


def answers(*rows: tuple[float, int, int], pods: int = 2) -> Answers:
    at_s, pod, kind = (np.array(column) for column in zip(*rows, strict=True))
    return Answers(at_s.astype(float), pod.astype(int), kind.astype(int), tuple(f"p{n}" for n in range(pods)))


def failing(times_s: list[float], pod: int = 0, kind: int = SERVER_ERROR) -> list[tuple[float, int, int]]:
    return [(at_s, pod, kind) for at_s in times_s]


def test_so_many_failures_in_a_row_eject_and_a_sweep_lets_back_in() -> None:
    (out,) = replay(answers(*failing([0.1, 0.2, 0.3]), (9.0, 1, GOOD)), RULES).ejections
    assert (out.pod, out.at_s, out.until_s, out.rule) == ("p0", 0.3, 3.0, "consecutive_5xx")


def test_one_good_answer_clears_the_count() -> None:
    rows = [(0.1, 0, SERVER_ERROR), (0.2, 0, SERVER_ERROR), (0.3, 0, GOOD), (0.4, 0, SERVER_ERROR), (0.5, 0, SERVER_ERROR)]
    assert replay(answers(*rows), RULES).ejections == ()


def test_what_comes_again_is_out_for_longer() -> None:
    again = [0.1, 0.2, 0.3, 3.1, 3.2, 3.3]
    first, second = replay(answers(*failing(again), (20.0, 1, GOOD)), RULES).ejections
    # One sweep passed without being out between them, and took the step back that the first time had added.
    assert (first.until_s, second.at_s, second.until_s) == (3.0, 3.3, 8.0)


def test_no_more_than_the_percentage_may_be_out() -> None:
    both = sorted([*failing([0.1, 0.2, 0.3]), *failing([0.4, 0.5, 0.6], pod=1)])
    found = replay(answers(*both), RULES)
    assert [each.pod for each in found.ejections] == ["p0"]
    assert found.prevented == 1
    assert replay(answers(*failing([0.1, 0.2, 0.3])), Rules(consecutive_5xx=3)).prevented == 1


def test_gateway_failures_are_counted_apart() -> None:
    rules = Rules(consecutive_5xx=None, consecutive_gateway_failures=2, max_ejection_percent=50)
    mixed = [(0.1, 0, GATEWAY_FAILURE), (0.2, 0, SERVER_ERROR), (0.3, 0, GATEWAY_FAILURE)]
    assert replay(answers(*mixed), rules).ejections == ()
    (out,) = replay(answers(*failing([0.1, 0.2], kind=GATEWAY_FAILURE)), rules).ejections
    assert out.rule == "consecutive_gateway_failures"


def test_pods_far_below_the_mean_share_of_good_answers_are_ejected_where_there_are_enough() -> None:
    rows = sorted((0.001 * n, pod, SERVER_ERROR if pod == 0 and n % 2 else GOOD) for n in range(150) for pod in range(6))
    rules = Rules(consecutive_5xx=None, success_rate_stdev_factor=1.9, interval_s=1.0, max_ejection_percent=50)
    (out,) = replay(answers(*rows, (5.0, 1, GOOD), pods=6), rules).ejections
    assert (out.pod, out.rule) == ("p0", "success_rate")
    few = [row for row in rows if row[1] < 4]
    assert replay(answers(*few, (5.0, 1, GOOD), pods=4), rules).ejections == ()


@given(
    st.lists(st.tuples(st.floats(0, 60), st.integers(0, 3), st.sampled_from([GOOD, SERVER_ERROR, GATEWAY_FAILURE])), min_size=1)
)
def test_never_are_more_out_than_may_be_and_nobody_twice(rows: list[tuple[float, int, int]]) -> None:
    found = replay(answers(*sorted(rows), pods=4), RULES).ejections
    for each in found:
        out = {other.pod for other in found if other.at_s <= each.at_s and (other.until_s is None or other.until_s > each.at_s)}
        assert len(out) <= 2
    for pod in {each.pod for each in found}:
        mine = [each for each in found if each.pod == pod]
        assert all(a.until_s is not None and a.until_s <= b.at_s for a, b in pairwise(mine))


def test_a_stream_that_breaks_is_a_good_answer_and_then_a_failure() -> None:
    broken = make_call(pod="a", status_code=200, first_byte_s=0.1, duration_s=2.0, outcome="error", at_s=0.0)
    dead = make_call(pod="a", duration_s=0.5, outcome="error", at_s=1.0)
    left = make_call(pod="a", duration_s=0.5, outcome="cancelled", at_s=1.2)
    busy = make_call(pod="b", status_code=503, first_byte_s=0.1, duration_s=0.1, outcome="error", at_s=1.1)
    found = answers_of(make_calls([broken, dead, left, busy]))
    seen = [(round(at_s, 6), found.pods[pod], kind) for at_s, pod, kind in zip(found.at_s, found.pod, found.kind, strict=True)]
    assert seen == [
        (0.1, "a", GOOD),
        (1.2, "b", GATEWAY_FAILURE),
        (1.5, "a", GATEWAY_FAILURE),
        (2.0, "a", GATEWAY_FAILURE),
    ]


def scripted(number: int) -> list[Pod]:
    """Five pods: three good ones now and then failing, one that fails for a while, one whose streams break."""
    dice = random.Random(number)

    def flaky(asked: int) -> Answer:
        return Answer(status=500 if dice.random() < 0.15 else 200)

    return [
        Pod("good-0", flaky),
        Pod("good-1", flaky),
        Pod("good-2", flaky),
        Pod("broken", lambda asked: Answer(status=503 if 8 <= asked < 22 else 200)),
        Pod("breaking", lambda asked: Answer(stream_s=0.7, breaks=asked < 30)),
    ]


@pytest.mark.system
@pytest.mark.parametrize("seed", [1, 2])
def test_the_replay_ejects_whom_the_real_envoy_ejected_and_when(tmp_path: Path, seed: int) -> None:
    pods, envoy = scripted(seed), Envoy(free_port(), free_port())
    log = tmp_path / "ejections.log"
    with serving(pods):
        body = bootstrap(envoy, [pod.port for pod in pods])
        body["cluster_manager"] = {"outlier_detection": {"event_log_path": str(log)}}
        body["static_resources"]["clusters"][0]["outlier_detection"] = {
            "consecutive_5xx": 3,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_percent": 50,
            "enforcing_success_rate": 0,
        }
        with running(tmp_path, envoy, yaml.safe_dump(body)):
            began = datetime.now().astimezone()
            calls = make_calls(ask_at(f"{envoy.url}/", [0.03 * n for n in range(360)]))
            ejected = envoy.stats("ejections_enforced_total")["cluster.generator.outlier_detection.ejections_enforced_total"]
    names = {f"127.0.0.1:{pod.port}": pod.name for pod in pods}
    events = [json.loads(line) for line in log.read_text().splitlines()]
    theirs = [(names[each["upstream_url"]], seconds(each, began)) for each in events if each["action"] == "EJECT"]
    back = [seconds(each, began) for each in events if each["action"] == "UNEJECT"]
    first_call_s = float((calls["start"].min() - make_call()["start"]).total_seconds())  # type: ignore[operator]
    found = replay(answers_of(calls), RULES, first_sweep_s=(back[0] - first_call_s) % 1.0 if back else None)
    ours = [(each.pod, each.at_s + first_call_s) for each in found.ejections]
    assert len(theirs) == ejected >= 2
    assert [pod for pod, _ in ours] == [pod for pod, _ in theirs]
    assert [at_s for _, at_s in ours] == pytest.approx([at_s for _, at_s in theirs], abs=0.25)
    returned = [each.until_s + first_call_s for each in found.ejections if each.until_s is not None]
    assert sorted(returned)[: len(back)] == pytest.approx(sorted(back)[: len(returned)], abs=0.3)


def seconds(event: dict[str, Any], began: datetime) -> float:
    """When it happened, in seconds since the load began."""
    return (datetime.fromisoformat(event["timestamp"]) - began).total_seconds()
