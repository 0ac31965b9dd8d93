"""What manifests and recommendations make of a policy."""

import math

import pytest

from meshslo.analysis.policy.settings import SAFE_CONDITIONS
from meshslo.analysis.recommend.recommendation import Target
from meshslo.analysis.simulate.policy import Limit, Policy, policies, read_mesh, recommended
from meshslo.telemetry.errors import BadInputError
from tests.support.policies import advice_of, timeout, wanted
from tests.support.policies import retries as advised_retries
from tests.support.proposals import breaker, mesh_of, retries

TARGET = Target("gateway>generator", "/v1/chat", "m")

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator}
spec:
  hosts: [generator]
  http:
    - route: [{destination: {host: generator}}]
      timeout: 30s
      retries: {attempts: 2, perTryTimeout: 2s, retryOn: "reset,503", backoff: 100ms}
"""
DESTINATION_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator}
spec:
  host: generator
  trafficPolicy: POLICY
"""


def policy_of(mesh: object) -> Policy:
    return policies([TARGET], mesh, {})[0]  # type: ignore[arg-type]


def test_envoys_own_defaults_hold_where_nothing_is_said() -> None:
    text = "virtual_hosts: [{name: generator, routes: [{match: {prefix: /}, route: {cluster: generator}}]}]"
    policy = policy_of(read_mesh({"routes.yaml": text}))
    assert (policy.total_s, policy.idle_s, policy.per_try_s, policy.retries) == (15.0, 300.0, math.inf, 0)


def test_an_envoy_with_all_of_it() -> None:
    mesh = mesh_of(
        timeout="30s",
        idle_timeout="5s",
        max_stream_duration={"max_stream_duration": "60s"},
        retry_policy=retries(
            3, "reset", per_try_timeout="2s", retry_back_off={"base_interval": "0.1s", "max_interval": "0.4s"}
        ),
        cluster=breaker(retry_budget={"budget_percent": {"value": 10}, "min_retry_concurrency": 5, "budget_interval": "10s"}),
    )
    assert policy_of(mesh) == Policy(30.0, 5.0, 2.0, 60.0, 3, frozenset({"reset"}), 0.1, 0.4, Limit(5.0, 0.1, 10.0))


def test_a_listeners_longest_stream_holds_unless_the_route_turns_it_off() -> None:
    text = """
static_resources:
  listeners:
    - common_http_protocol_options: {max_stream_duration: 20s}
      route_config:
        virtual_hosts: [{name: generator, routes: [{match: {prefix: /}, route: {cluster: generator OWN}}]}]
"""
    assert policy_of(read_mesh({"e.yaml": text.replace("OWN", "")})).stream_s == 20.0
    off = text.replace("OWN", ", max_stream_duration: {max_stream_duration: 0s}")
    assert policy_of(read_mesh({"e.yaml": off})).stream_s == math.inf


@pytest.mark.parametrize(
    ("cluster", "limit"),
    [
        (None, Limit(3.0)),
        (breaker(max_retries=7), Limit(7.0)),
        (breaker(retry_budget={}), Limit(3.0, 0.2)),
        (breaker(retry_budget={"min_retry_concurrency": 0}), Limit(0.0, 0.2)),
        (breaker(max_retries=7, retry_budget={"budget_percent": {"value": 5}}), Limit(3.0, 0.05)),
    ],
)
def test_the_room_that_an_envoy_has_for_retries(cluster: dict[str, object] | None, limit: Limit) -> None:
    assert policy_of(mesh_of(cluster=cluster, retry_policy=retries(1))).limit == limit


@pytest.mark.parametrize(
    ("policy", "limit"),
    [
        ("{}", Limit()),
        ("{connectionPool: {http: {maxRetries: 4}}}", Limit(4.0)),
        ("{retryBudget: {percent: 25}}", Limit(3.0, 0.25)),
        ("{retryBudget: {percent: 25, minRetryConcurrency: 8, budgetInterval: 5s}}", Limit(8.0, 0.25, 5.0)),
    ],
)
def test_the_room_that_an_istio_has_for_retries(policy: str, limit: Limit) -> None:
    texts = {"vs.yaml": VIRTUAL_SERVICE, "dr.yaml": DESTINATION_RULE.replace("POLICY", policy)}
    found = policy_of(read_mesh(texts))
    assert found.limit == limit
    assert (found.total_s, found.per_try_s, found.retries, found.back_off_s) == (30.0, 2.0, 2, 0.1)
    assert (found.longest_back_off_s, found.retry_on) == (1.0, frozenset({"reset", "503"}))


def test_recommendations_change_what_they_are_about_and_no_more() -> None:
    now = {"total_timeout": 3.0, "per_try_timeout": 1.0, "retry_attempts": 2, "retry_on": "5xx", "min_retry_concurrency": 9.0}
    policy = Policy.of(recommended(advice_of(timeout(45.0)), TARGET, now))
    assert (policy.total_s, policy.per_try_s, policy.retries) == (45.0, 1.0, 2)
    policy = Policy.of(recommended(advice_of(*advised_retries(1)), TARGET, now))
    # As it is emitted: a share of what was started in ten seconds, and one at least.
    assert (policy.total_s, policy.retries, policy.limit) == (3.0, 1, Limit(1.0, 0.017, 10.0))
    assert policy.retry_on == frozenset(SAFE_CONDITIONS)


def test_a_budget_alone_changes_the_budget_of_what_is_at_work_now() -> None:
    mesh = read_mesh({"dr.yaml": DESTINATION_RULE.replace("POLICY", "{retryBudget: {percent: 5}}")})
    now = {
        "total_timeout": 3.0,
        "retry_attempts": 2,
        "retry_on": "5xx",
        "min_retry_concurrency": 9.0,
        "retry_budget_ratio": 0.5,
    }
    (policy,) = policies([TARGET], mesh, {TARGET: now})
    assert (policy.total_s, policy.retries, policy.limit) == (3.0, 2, Limit(3.0, 0.05))


def test_the_most_specific_recommendation_counts() -> None:
    advice = advice_of(timeout(45.0), timeout(9.0, model="m"), wanted("total_timeout", 7.0, route=None))
    assert Policy.of(recommended(advice, TARGET, {})).total_s == 9.0
    assert Policy.of(recommended(advice, Target("gateway>generator", "/v1/chat", "other"), {})).total_s == 45.0
    assert Policy.of(recommended(advice, Target("gateway>generator", "/other"), {})).total_s == 7.0
    assert Policy.of(recommended(advice, Target("gateway>retriever"), {})).total_s == math.inf


def test_what_is_no_yaml_is_named() -> None:
    with pytest.raises(BadInputError, match=r"routes.yaml:1"):
        read_mesh({"routes.yaml": "virtual_hosts: [}"})
