from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.recommend.chain import choose_layers, deepest_first, find_links, paths
from tests.support.calls import make_call, make_calls
from tests.support.scenes import chain_calls

LETTERS = st.sampled_from("abcdef")
HOPS = st.lists(st.tuples(LETTERS, LETTERS).filter(lambda pair: pair[0] != pair[1]), min_size=1, max_size=8, unique=True).map(
    lambda pairs: sorted(f"{caller}>{callee}" for caller, callee in pairs)
)


def test_links_follow_the_traces() -> None:
    found = {(link.parent, link.child) for link in find_links(chain_calls().lazy())}
    top = ("ingress>gateway", "/ask")
    assert found == {(top, ("gateway>generator", "/v1/chat")), (top, ("gateway>retriever", "/search"))}


def test_own_time_is_taken_trace_by_trace_and_model_by_model() -> None:
    rows = []
    for n, (model, own) in enumerate([("a", 0.5), ("b", 2.0)] * 40):
        shared = {"trace_id": (n + 1).to_bytes(16, "big"), "model": model}
        rows += [
            make_call(caller="in", callee="gateway", vantage="server", duration_s=n + own, **shared),
            make_call(vantage="server", duration_s=float(n), **shared),
        ]
    (link,) = find_links(make_calls(rows).lazy())
    assert link.needs_s(10.0, "a", 0.99, 0.95)[1] == pytest.approx(0.5, rel=0.011)
    assert link.needs_s(10.0, None, 0.99, 0.95) == (pytest.approx(12.0, rel=0.011), pytest.approx(2.0, rel=0.011))


def test_a_child_that_outlasts_its_parent_leaves_no_negative_time() -> None:
    shared = {"trace_id": bytes(15) + b"\1"}
    rows = [make_call(caller="in", callee="gateway", duration_s=1.0, **shared), make_call(duration_s=1.2, **shared)]
    (link,) = find_links(make_calls(rows).lazy())
    assert link.needs_s(1.0, None, 0.99, 0.95)[1] < 1e-6


def test_calls_of_other_traces_are_no_children() -> None:
    assert find_links(make_calls([make_call(caller="in", callee="gateway"), make_call()]).lazy()) == []


@given(HOPS)
def test_every_way_is_a_chain_and_every_hop_is_on_one(hops: list[str]) -> None:
    ways = paths(hops)
    for way in ways:
        assert all(above.split(">")[1] == below.split(">")[0] for above, below in pairwise(way))
        assert len(set(way)) == len(way)


@given(HOPS, st.sets(LETTERS))
def test_no_way_has_two_layers_that_repeat(hops: list[str], failing: set[str]) -> None:
    ways = paths(hops)
    layers = choose_layers(ways, {hop for hop in hops if hop[0] in failing})
    repeating = {hop for hop, layer in layers.items() if hop == layer}
    for way in ways:
        assert len(repeating & set(way)) <= 1


def test_circles_end() -> None:
    calls = make_calls(
        [
            make_call(caller="a", callee="b", trace_id=bytes(15) + b"\1"),
            make_call(caller="b", callee="a", trace_id=bytes(15) + b"\1"),
        ]
    )
    links = find_links(calls.lazy())
    routes = [("a>b", "/v1/chat"), ("b>a", "/v1/chat")]
    assert sorted(deepest_first(links, routes)) == routes
    assert paths(["a>b", "b>a"]) == [("a>b", "b>a")]
