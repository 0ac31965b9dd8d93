"""What a run of a scenario was like, from its users and its calls."""

import pytest

from meshslo.demo.load import Seen
from meshslo.demo.scenarios.figures import measure
from meshslo.demo.scenarios.loads import plan_asks
from tests.support.calls import make_call, make_calls


def test_a_request_that_a_proxy_refused_counts_once_though_its_listener_and_router_tell_of_it() -> None:
    asks = plan_asks(2.0, lambda _: 20.0)[:30]
    seen = [Seen(ask, "ok" if n < 20 else "failed", 0.2, 200 if n < 20 else 503) for n, ask in enumerate(asks)]
    rows = []
    for number, one in enumerate(seen):
        common = {
            "trace_id": (number + 1).to_bytes(16, "big"),
            "at_s": one.ask.at_s,
            "caller": "ingress",
            "callee": "generator",
        }
        if one.ending == "ok":
            rows += [make_call(**common, vantage=each, duration_s=0.2) for each in ("proxy_in", "proxy_out", "server")]
        else:
            sides = (("proxy_in", 0.02), ("proxy_out", 0.01))
            rows += [make_call(**common, vantage=each, duration_s=s, outcome="rejected") for each, s in sides]
    found = measure("after", seen, make_calls(rows), 0.0)
    assert (found.requests, found.answered, found.refused, found.failed) == (30, 20, 10, 0)
    assert found.refused_p95_s == pytest.approx(0.02)
