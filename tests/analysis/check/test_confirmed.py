"""Rules that find nothing without calls, and those that calls confirm."""

import pytest

from meshslo.analysis.check import Finding, check
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.recommend import Observed, observe
from tests.support.calls import make_call, make_calls
from tests.support.scenes import chain_calls, plain_calls

VS = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator}
spec:
  hosts: [generator]
  http:
    - route: [{destination: {host: generator}}]
"""
DR = """\
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator}
spec:
  host: generator
"""
LOOSE: Config = parse_config("[objectives]\nfalse_timeout_ratio = 0.01")


@pytest.fixture(scope="module")
def streams() -> Observed:
    return observe(chain_calls().lazy(), LOOSE)


def found(code: str, text: str, observed: Observed | None = None) -> Finding | None:
    return next((item for item in check({"x.yaml": text}, observed).items if item.code == code), None)


def test_a_timeout_below_the_tail_is_found_before_it_cuts_anything(streams: Observed) -> None:
    item = found("MS114", VS + "      timeout: 3s\n", streams)
    assert item is not None
    assert (item.confirmed, item.severity, item.line) == (True, "error", 8)
    assert "longer than 3 s are" in item.message
    assert "of 800 calls of gateway>generator /v1/chat (1 % are allowed)" in item.message
    assert found("MS114", VS + "      timeout: 60s\n", streams) is None
    assert found("MS114", VS + "      timeout: 3s\n") is None


ENVOY_IDLE = """\
virtual_hosts:
  - name: generator
    routes:
      - match: {prefix: /}
        route: {cluster: generator, timeout: 60s, idle_timeout: 0.1s}
"""


def test_an_idle_timeout_below_the_wait_for_the_first_token(streams: Observed) -> None:
    item = found("MS116", ENVOY_IDLE, streams)
    assert item is not None
    assert "ends healthy streams: silences longer than 100 ms" in item.message
    assert found("MS116", ENVOY_IDLE.replace("0.1s", "20s"), streams) is None


def test_a_per_try_timeout_below_the_headers_of_whole_answers() -> None:
    observed = observe(plain_calls([1.0 + n / 400 for n in range(800)]).lazy(), LOOSE)
    item = found("MS117", VS + "      retries: {attempts: 1, perTryTimeout: 2s}\n", observed)
    assert item is not None
    assert "headers longer than 2 s are" in item.message
    assert found("MS117", VS + "      retries: {attempts: 1, perTryTimeout: 4s}\n", observed) is None


def test_a_breaker_below_the_load() -> None:
    rows = [make_call(vantage="client", at_s=n / 10, duration_s=5.0) for n in range(1200)]
    observed = observe(make_calls(rows).lazy())
    item = found("MS312", DR + "  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 20}}}\n", observed)
    assert item is not None
    assert "10 a second in busy minutes, 5 s each, are 50" in item.message
    assert found("MS312", DR + "  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 60}}}\n", observed) is None


def test_a_budget_of_active_calls_is_loose_for_long_ones() -> None:
    budget = DR + "  trafficPolicy: {retryBudget: {percent: 10}}\n"
    item = found("MS219", budget, observe(plain_calls([20.0] * 50).lazy()))
    assert item is not None
    assert "admits as many retries a second as a rate budget of 200 %" in item.message
    assert (item.severity, item.confirmed) == ("warning", True)
    assert found("MS219", budget, observe(plain_calls([0.2] * 50).lazy())) is None


def test_prompts_that_a_retry_cannot_hold() -> None:
    rows = [make_call(vantage="client", at_s=n, input_tokens=400_000 if n % 10 == 0 else 100) for n in range(100)]
    item = found("MS220", VS + "      retries: {attempts: 1}\n", observe(make_calls(rows).lazy()))
    assert item is not None
    assert "about 10 % of 100 prompts of generator are larger than the 1024 KiB" in item.message


def test_calls_in_plaintext_confirm_a_loose_mode() -> None:
    text = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p}\nspec: {mtls: {mode: PERMISSIVE}}\n"
    rows = [make_call(vantage="proxy_in", at_s=n, mtls=n % 2 == 0) for n in range(10)]
    item = found("MS411", text, observe(make_calls(rows).lazy()))
    assert item is not None
    assert item.confirmed
    assert "5 calls came so" in item.message
