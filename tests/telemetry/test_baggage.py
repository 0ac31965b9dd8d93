"""Labels: only the allowed ones, bounded, and shared by all of a request."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry import baggage
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import SpanKind

from meshslo.telemetry import names
from meshslo.telemetry.baggage import (
    MAX_LABEL_CHARS,
    LabelPolicy,
    bounded,
    carry,
    label,
    labels_in,
    set_policy,
    share,
    without_caller,
)
from meshslo.telemetry.vocabulary import OTHER
from tests.support.telemetry import recorder


@pytest.fixture(autouse=True)
def usual_policy() -> Iterator[None]:
    set_policy(LabelPolicy(max_values=10_000))
    yield
    set_policy(LabelPolicy())


EVERYTHING = {
    names.TENANT: "acme",
    names.MODEL: "small",
    names.ROUTE: "/v1/chat",
    names.CALLER: "gateway",
    "user.email": "a@b.c",
    "prompt": "secret",
}


def context_of(entries: dict[str, Any]) -> Context:
    context = Context()
    for name, value in entries.items():
        context = baggage.set_baggage(name, value, context)
    return context


def labels_of(context: Context, kind: SpanKind = SpanKind.INTERNAL, **attributes: Any) -> dict[str, Any]:
    spans = recorder()
    spans.provider.get_tracer("t").start_span("s", context=context, kind=kind, attributes=attributes).end()
    return dict(spans.one().attributes or {})


def test_only_allowed_baggage_becomes_labels() -> None:
    assert labels_of(context_of(EVERYTHING)) == {names.TENANT: "acme", names.MODEL: "small", names.ROUTE: "/v1/chat"}


def test_the_caller_is_a_label_of_the_server_span_alone() -> None:
    assert labels_of(context_of(EVERYTHING), SpanKind.SERVER)[names.CALLER] == "gateway"
    assert names.CALLER not in labels_of(context_of(EVERYTHING), SpanKind.CLIENT)
    assert names.CALLER not in labels_of(without_caller(context_of(EVERYTHING)), SpanKind.SERVER)


def test_what_a_span_was_started_with_stays() -> None:
    assert labels_of(context_of(EVERYTHING), **{names.TENANT: "own"})[names.TENANT] == "own"


@given(st.text(max_size=400))
def test_a_label_is_short_and_printable_or_absent(value: str) -> None:
    label = bounded(value)
    assert label is None or (0 < len(label) <= MAX_LABEL_CHARS and label.isprintable())
    assert labels_in(context_of({names.TENANT: value})) == ({} if label is None else {names.TENANT: label})


@pytest.mark.parametrize("value", [None, "", 0])
def test_nothing_is_no_label(value: Any) -> None:
    assert labels_in(context_of({names.TENANT: value})) == {}


def test_what_is_carried_reaches_contexts_made_before() -> None:
    context = share({names.TENANT: "acme"}, Context())
    token = attach(context)
    try:
        carry({names.MODEL: "small"})
        assert baggage.get_baggage(names.MODEL) == "small"
    finally:
        detach(token)
    assert labels_in(context) == {names.TENANT: "acme", names.MODEL: "small"}


def test_a_tenant_can_be_told_by_a_keyed_hash() -> None:
    set_policy(LabelPolicy(tenant_key=b"secret"))
    hashed = label(names.TENANT, "acme")
    assert hashed is not None
    assert hashed.startswith("hmac-")
    assert "acme" not in hashed
    assert label(names.TENANT, hashed) == hashed
    assert label(names.MODEL, "small") == "small"
    set_policy(LabelPolicy(tenant_key=b"another"))
    assert label(names.TENANT, "acme") != hashed
    assert labels_of(context_of({names.TENANT: "acme"}))[names.TENANT] != "acme"


def test_past_its_limit_a_label_is_other_and_that_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    set_policy(LabelPolicy(max_values=3))
    told = [label(names.TENANT, f"t{number}") for number in range(6)]
    assert told == ["t0", "t1", "t2", OTHER, OTHER, OTHER]
    assert label(names.TENANT, "t1") == "t1"
    assert label(names.MODEL, "m") == "m"
    assert [record.getMessage() for record in caplog.records] == ["tenant.id has more than 3 values; the rest is __other__"]
