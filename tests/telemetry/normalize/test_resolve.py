"""Rows of a trace complete each other, in whatever order they stand."""

from itertools import permutations

import pytest

from meshslo.telemetry.normalize import resolve
from tests.support.calls import make_call, make_calls

TRACE = bytes(15) + b"\x01"
SPAN = bytes(7) + b"\x01"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_of_several_servers_the_one_that_began_first_answered(order: tuple[int, ...]) -> None:
    """A client by its address, and two servers below it: a mirrored request."""
    of_the_call = {"trace_id": TRACE, "caller": None, "hop": "?", "parent_span_id": SPAN}
    rows = [
        make_call(trace_id=TRACE, span_id=SPAN, vantage="client", callee="10.0.0.7", hop="?", parent_span_id=None),
        make_call(**of_the_call, callee="mirror", at_s=0.2),
        make_call(**of_the_call, callee="generator", at_s=0.1),
    ]
    resolved = resolve(make_calls([rows[place] for place in order]))
    hops = {row["span_id"]: row["hop"] for row in resolved.to_dicts()}
    assert hops[SPAN] == "gateway>generator"
    assert sorted(hops.values()) == ["gateway>generator", "gateway>generator", "gateway>mirror"]
