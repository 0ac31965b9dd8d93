"""Envoy's algorithm, against answers worked by hand and against the real Envoy."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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
from meshslo.analysis.ejection.replay import FailurePercentage, Replay, Rules, SuccessRate, replay
from tests.support.calls import make_call, make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port, wait_for
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
    assert (first.until_s, second.at_s, second.until_s) == (3.0, 3.3, 8.0)
    rested = [0.1, 0.2, 0.3, 9.1, 9.2, 9.3]
    assert replay(answers(*failing(rested), (20.0, 1, GOOD)), RULES).ejections[1].until_s == 12.0


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
    rules = Rules(consecutive_5xx=None, success_rate=SuccessRate(), interval_s=1.0, max_ejection_percent=50)
    (out,) = replay(answers(*rows, (5.0, 1, GOOD), pods=6), rules).ejections
    assert (out.pod, out.at_s, out.rule) == ("p0", 1.0, "success_rate")
    few = [row for row in rows if row[1] < 4]
    assert replay(answers(*few, (5.0, 1, GOOD), pods=4), rules).ejections == ()


@pytest.mark.parametrize(
    ("threshold", "volume", "hosts", "caught"), [(50, 50, 2, 1), (51, 50, 2, 0), (50, 151, 2, 0), (50, 50, 3, 0)]
)
def test_pods_that_fail_a_share_are_ejected_whatever_the_others_do(
    threshold: int, volume: int, hosts: int, caught: int
) -> None:
    rows = sorted((0.001 * n, pod, SERVER_ERROR if pod == 0 and n % 2 else GOOD) for n in range(150) for pod in range(2))
    share = FailurePercentage(threshold, hosts, volume)
    rules = Rules(consecutive_5xx=None, failure_percentage=share, interval_s=1.0, max_ejection_percent=50)
    found = replay(answers(*rows, (5.0, 1, GOOD)), rules).ejections
    assert [(out.pod, out.rule) for out in found] == [("p0", "failure_percentage")] * caught


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


def never_three(asked: int) -> Answer:
    """Two failures in a row now and then."""
    return Answer(status=500 if asked % 7 in (3, 4) else 200)


def breaking(asked: int) -> Answer:
    """Streams of which four break at the same moment, with no new headers in between."""
    place = asked % 5
    return Answer() if place == 4 else Answer(stream_s=SPACING_S * PODS * (5 - place) - 0.07, breaks=True)


SPACING_S, PODS = 0.04, 4

# What is let back in fails again before the next sweep, so that no timer's millisecond decides how long it is out then.
SHORT = Rules(consecutive_5xx=3, interval_s=2.0, base_ejection_time_s=2.0, max_ejection_percent=50)
# Nor here, where pods are ejected by the sweeps themselves: no multiple of this time ends with one.
SWEPT = replace(SHORT, consecutive_5xx=None, base_ejection_time_s=1.5)
BY_SHARE = {
    "rate": replace(SWEPT, success_rate=SuccessRate(1.9, 5, 3)),
    "percentage": replace(SWEPT, failure_percentage=FailurePercentage(40, 5, 3)),
}
"""Clusters with the same pods, each with a detector of its own that judges by shares, reached at /rate and /percentage."""
SHARED, SHARE_SPACING_S = 5, 0.08
PHASES_S = (0.0, -0.05, 0.05, -0.1, 0.1)
"""How well it is known when Envoy sweeps: its timer starts anew after each sweep, so it is late by some milliseconds more."""

FORMAT = {"at": "%START_TIME(%s.%6f)%", "headers": "%RESPONSE_DURATION%", "end": "%DURATION%", "status": "%RESPONSE_CODE%"}
FILE_LOG = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"


@pytest.mark.system
@pytest.mark.alone
def test_the_replay_ejects_whom_the_real_envoy_ejected_and_when(tmp_path: Path) -> None:
    """The calls are those of Envoy's own access log, the ejections those of its event log that were enforced."""
    pods = [
        Pod("good-0", never_three),
        Pod("good-1", never_three),
        Pod("broken", lambda asked: Answer(status=503 if asked >= 8 else 200)),
        Pod("breaking", breaking),
    ]
    # Both clusters ask it in turn: three of four answers fail, whoever gets them.
    shared = [Pod(f"shared-{n}", lambda asked, n=n: Answer(status=500 if n == 0 and asked % 4 else 200)) for n in range(SHARED)]  # type: ignore[misc]  # bound at once
    envoy, log, events = Envoy(free_port(), free_port()), tmp_path / "access.log", tmp_path / "events.log"
    with serving([*pods, *shared]), ThreadPoolExecutor() as users:
        text = logged(bootstrap(envoy, [pod.port for pod in pods]), [pod.port for pod in shared], log, events)
        with running(tmp_path, envoy, text):
            asked = [(f"{envoy.url}/", [SPACING_S * n for n in range(400)])]
            asked += [(f"{envoy.url}/{name}", [SHARE_SPACING_S * n for n in range(200)]) for name in BY_SHARE]
            list(users.map(ask_at, *zip(*asked, strict=True)))
            stats = envoy.stats("ejections_enforced_total")
            wait_for(lambda: len(log.read_text().splitlines()) == 800, what="Envoy's log of all calls", timeout_s=20)
    names = {f"127.0.0.1:{pod.port}": pod.name for pod in (*pods, *shared)}
    calls = [json.loads(line) for line in log.read_text().splitlines()]
    first_s = min(float(call["at"]) for call in calls)
    theirs = [json.loads(line) for line in events.read_text().splitlines()]
    for cluster, rules in {"generator": SHORT, **BY_SHARE}.items():
        out, back = (
            [(names[each["upstream_url"]], datetime.fromisoformat(each["timestamp"]).timestamp() - first_s) for each in theirs
             if each["action"] == action and each["cluster_name"] == cluster and each["enforced"] >= (action == "EJECT")]
            for action in ("EJECT", "UNEJECT")
        )  # fmt: skip
        seen = answers_of(make_calls([as_row(call, names, first_s) for call in calls if call["cluster"] == cluster]))
        assert stats[f"cluster.{cluster}.outlier_detection.ejections_enforced_total"] == len(out) >= 3
        assert {pod for pod, _ in out} == ({"broken", "breaking"} if cluster == "generator" else {"shared-0"})
        kept = replace(rules, interval_s=swept_s([at_s for _, at_s in back], rules.interval_s))
        ours = [replay(seen, kept, first_sweep_s=(back[0][1] + late_s) % kept.interval_s) for late_s in PHASES_S]
        assert any(agree(each, out, back) for each in ours), f"{cluster} {out} {back} {ours[0].ejections}"


def swept_s(back_s: list[float], interval_s: float) -> float:
    """How far apart sweeps were, from the moments at which pods were let back: on a busy machine each is late."""
    sweeps = round((back_s[-1] - back_s[0]) / interval_s)
    return (back_s[-1] - back_s[0]) / sweeps if sweeps else interval_s


def agree(ours: Replay, out: list[tuple[str, float]], back: list[tuple[str, float]]) -> bool:
    """Whether the same pods were ejected and let back in, as often and at the same times."""
    for name in {pod for pod, _ in out} | {each.pod for each in ours.ejections}:
        mine = [each for each in ours.ejections if each.pod == name]
        times = [each.at_s for each in mine], [each.until_s for each in mine if each.until_s is not None]
        theirs = [at_s for pod, at_s in out if pod == name], [at_s for pod, at_s in back if pod == name]
        # What comes just at the end of the load may be on one side only.
        if abs(len(times[1]) - len(theirs[1])) > 1 or times[0] != pytest.approx(theirs[0], abs=0.4):
            return False
        if any(abs(a - b) > 0.5 for a, b in zip(times[1], theirs[1], strict=False)):
            return False
    return True


def logged(body: dict[str, Any], shared: list[int], log: Path, events: Path) -> str:
    """The bootstrap with ejection, clusters of the shared pods, its events and an access log."""
    body["cluster_manager"] = {"outlier_detection": {"event_log_path": str(events)}}
    clusters = body["static_resources"]["clusters"]
    endpoints = bootstrap(Envoy(0, 0), shared)["static_resources"]["clusters"][0]["load_assignment"]["endpoints"]
    for name in BY_SHARE:
        clusters.append({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name, "endpoints": endpoints}})
    for cluster in clusters:
        cluster["outlier_detection"] = detector(BY_SHARE.get(cluster["name"], SHORT))
    manager = body["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    routes = manager["route_config"]["virtual_hosts"][0]["routes"]
    routes[:0] = [{"match": {"path": f"/{name}"}, "route": {"cluster": name}} for name in BY_SHARE]
    form = {"json_format": {**FORMAT, "pod": "%UPSTREAM_HOST%", "cluster": "%UPSTREAM_CLUSTER%"}}
    typed = {"@type": FILE_LOG, "path": str(log), "log_format": form}
    manager["access_log"] = [{"name": "file", "typed_config": typed}]
    return yaml.safe_dump(body)


def detector(rules: Rules) -> dict[str, Any]:
    """Envoy's own words for the rules."""
    told: dict[str, Any] = {
        "interval": f"{rules.interval_s}s",
        "base_ejection_time": f"{rules.base_ejection_time_s}s",
        "max_ejection_percent": rules.max_ejection_percent,
        "enforcing_success_rate": 100 if rules.success_rate else 0,
        "enforcing_failure_percentage": 100 if rules.failure_percentage else 0,
        "enforcing_consecutive_5xx": 100 if rules.consecutive_5xx else 0,
    }
    if rules.consecutive_5xx:
        told["consecutive_5xx"] = rules.consecutive_5xx
    if rate := rules.success_rate:
        told |= {"success_rate_minimum_hosts": rate.minimum_hosts, "success_rate_request_volume": rate.request_volume}
        told["success_rate_stdev_factor"] = round(1000 * rate.stdev_factor)
    if share := rules.failure_percentage:
        told |= {"failure_percentage_threshold": share.threshold, "failure_percentage_minimum_hosts": share.minimum_hosts}
        told["failure_percentage_request_volume"] = share.request_volume
    return told


def as_row(call: dict[str, Any], names: dict[str, str], first_s: float) -> dict[str, Any]:
    """A call of Envoy's access log as the pod would have seen it."""
    pod, status = names[call["pod"]], int(call["status"])
    # The log says 200 of a stream that broke; which ones did is known here.
    broke = pod == "breaking" and float(call["end"]) > float(call["headers"]) + 20
    return make_call(
        pod=pod,
        at_s=float(call["at"]) - first_s,
        status_code=status,
        first_byte_s=float(call["headers"]) / 1e3,
        duration_s=float(call["end"]) / 1e3,
        outcome="error" if broke or status >= 500 else "ok",
    )
