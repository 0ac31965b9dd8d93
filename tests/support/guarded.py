"""Calls of a mesh whose proxies know connections: some proved, some plain, a laptop that should not be there, hosts outside."""

from typing import Any

import polars as pl

from .calls import make_call, make_calls

CONFIG = '[egress]\napproved_hosts = ["api.openai.com"]\n'


def guarded_calls() -> pl.DataFrame:
    """The entry, two hops under mutual TLS, one in part plain, a caller seldom seen, an approved host and one that is not."""
    rows = [
        *_calls(600, "ingress", "gateway", None, tenants=("acme", "bolt")),
        *_calls(600, "gateway", "generator", "chat/sa/gateway", tenants=("acme", "bolt")),
        *_calls(560, "gateway", "retriever", "chat/sa/gateway", tenants=("acme", "bolt")),
        *_calls(40, "gateway", "retriever", None, tenants=("acme", "bolt")),
        *_calls(320, "retriever", "vectors", "rag/sa/retriever", tenants=("acme", "bolt")),
        *_calls(90, "batch", "generator", "jobs/sa/batch"),
        *_calls(24, "laptop", "generator", "dev/sa/laptop", tenants=("acme",)),
        *_outside(410, "generator", "api.openai.com", "gpt-5"),
        *_outside(37, "retriever", "models.example.org", "embed-small"),
    ]
    return make_calls(rows)


def _calls(number: int, caller: str, callee: str, account: str | None, tenants: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    identities = (
        {}
        if account is None
        else {
            "caller_identity": f"spiffe://cluster.local/ns/{account}",
            "callee_identity": f"spiffe://cluster.local/ns/chat/sa/{callee}",
        }
    )
    common = {"caller": caller, "callee": callee, "vantage": "proxy_in", "mtls": account is not None, "method": "POST"}
    return [
        make_call(at_s=float(n), duration_s=0.2 + n % 7 / 50, tenant=tenants[n % len(tenants)] if tenants else None)
        | common
        | identities
        | {"hop": f"{caller}>{callee}"}
        for n in range(number)
    ]


def _outside(number: int, caller: str, host: str, model: str) -> list[dict[str, Any]]:
    common = {"caller": caller, "callee": host, "vantage": "proxy_out", "model": model, "tenant": None, "mtls": None}
    return [make_call(at_s=float(n), **common) for n in range(number)]
