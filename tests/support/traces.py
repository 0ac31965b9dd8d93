"""Traces of a few calls: a test says who called whom and when."""

from typing import Any

from .calls import make_call


def call(**columns: Any) -> dict[str, Any]:
    """One call of `trace`: columns of the row, and `span` and `parent`, small numbers, where it has them."""
    return columns


def trace(number: int, *calls: dict[str, Any], at_s: float = 0.0) -> list[dict[str, Any]]:
    """Rows of one trace as clients see them unless said otherwise; their `at_s` counts from the trace's begin."""
    rows = []
    for given in calls:
        row = {"vantage": "client", **given}
        span, parent = row.pop("span", None), row.pop("parent", None)
        row["at_s"] = at_s + row.get("at_s", 0.0)
        named = {"span_id": _identity(span)} if span else {}
        above = _identity(parent) if parent else None
        rows.append(make_call(trace_id=number.to_bytes(16, "big"), parent_span_id=above, **named, **row))
    return rows


def request(number: int, search_s: float, answer_s: float, **entry: Any) -> list[dict[str, Any]]:
    """ingress > gateway: first the retriever, then the generator, 0.1 s of its own between and at the end."""
    whole_s = search_s + answer_s + 0.2
    return trace(
        number,
        call(span=1, caller="ingress", callee="gateway", route="/ask", vantage="server", duration_s=whole_s, **entry),
        call(span=2, parent=1, callee="retriever", route="/search", duration_s=search_s),
        call(span=3, parent=1, callee="generator", duration_s=answer_s, at_s=search_s + 0.1),
        at_s=number * 0.5,
    )


def _identity(number: int) -> bytes:
    return number.to_bytes(8, "big")
