"""Laws that hold for whatever spans arrive, however they hang together."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from meshslo.telemetry.normalize import normalize, resolve
from meshslo.telemetry.schema import FRAME
from meshslo.telemetry.vocabulary import CENSORED
from tests.telemetry.normalize.otlp import Spec, envoy, spans_of, spec

pytestmark = pytest.mark.slow

ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "gen_ai.operation.name": st.sampled_from(["chat", "embeddings", "invoke_agent", "retrieval"]),
        "gen_ai.request.model": st.sampled_from(["small", "large"]),
        "tenant.id": st.sampled_from(["acme", "zen"]),
        "server.address": st.sampled_from(["a", "b.ns.svc.cluster.local", "api.openai.com"]),
        "response_flags": st.sampled_from(["-", "UT", "DC", "UC", "URX,UF"]),
        "http.status_code": st.sampled_from(["0", "200", "404", "503"]),
        "canceled": st.just("true"),
        "retry.count": st.sampled_from(["1", "2"]),
        "upstream_cluster.name": st.sampled_from(["a", "b", "outbound|80||b.ns.svc.cluster.local", "inbound|80||"]),
        "meshslo.caller": st.sampled_from(["a", "b"]),
        "asgi.event.type": st.sampled_from(["http.response.start", "http.response.body"]),
    },
)


@st.composite
def spans(draw: st.DrawFn) -> list[Spec]:
    """Up to a dozen spans of two traces with parents anywhere: missing, their own, in a circle, ids used twice."""
    found = []
    for _ in range(draw(st.integers(1, 12))):
        make = draw(st.sampled_from([spec, spec, envoy]))
        found.append(
            make(
                draw(st.integers(1, 9)),
                draw(st.sampled_from(["a", "b", "edge", "linkerd-proxy", None])),
                draw(st.integers(0, 5)),
                draw(st.none() | st.integers(1, 10)),
                trace=draw(st.integers(1, 2)),
                at_s=draw(st.integers(0, 20)) / 10,
                attributes=draw(ATTRIBUTES),
                failed=draw(st.booleans()),
            )
        )
    return found


def distinct(specs: list[Spec]) -> list[Spec]:
    """One spec for each identity of a span."""
    return list({(each.trace, each.number, each.kind): each for each in specs}.values())


def alone(specs: list[Spec]) -> list[Spec]:
    """One spec for each span id."""
    return list({each.number: each for each in specs}.values())


@settings(deadline=None, max_examples=50)
@given(spans())
def test_every_span_is_a_row_or_counted_with_its_reason_and_resolving_again_changes_nothing(specs: list[Spec]) -> None:
    result = normalize(spans_of(*specs))
    assert result.calls.schema == FRAME
    assert result.calls.height + sum(result.left_out.values()) == len(distinct(specs))
    assert min(result.left_out.values(), default=1) > 0
    assert_frame_equal(resolve(result.calls), result.calls)


@settings(deadline=None, max_examples=30)
@given(spans().map(alone))
def test_an_id_stands_for_one_row_a_vantage_and_what_a_timer_or_the_client_cut_is_never_ok(specs: list[Spec]) -> None:
    calls = normalize(spans_of(*specs)).calls
    assert not calls.select("trace_id", "span_id", "vantage").is_duplicated().any()
    flags = {each.number: each.attributes.get("response_flags") for each in specs if each.scope == "envoy"}
    for row in calls.filter(vantage="proxy_in").to_dicts():
        if flags.get(int.from_bytes(row["span_id"], "big")) in ("UT", "DC"):
            assert row["outcome"] in CENSORED
