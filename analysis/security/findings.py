"""What is exposed: one function a code, all of the same shape, from what was seen to findings."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import polars as pl

from meshslo.analysis.boundary import WORDS, Side
from meshslo.analysis.recommend.identity import RARE_CALLS
from meshslo.analysis.recommend.words import count
from meshslo.telemetry.vocabulary import INGRESS, UNKNOWN

from .result import Edge, Exposure, Host


@dataclass(frozen=True, eq=False)
class Seen:
    """Edges and hosts as they are shown; calls that were let in, and those with a tenant, as `recommend.callers` counts."""

    edges: tuple[Edge, ...]
    hosts: tuple[Host, ...]
    let_in: pl.DataFrame
    tenants: pl.DataFrame
    side: Mapping[str, Side]

    def crosses(self, caller: str, callee: str) -> bool:
        """Whether a call goes from the tenants' side to an internal service."""
        return self.side.get(caller) == "tenants" and self.side.get(callee) == "internal"


def _plain_paths(seen: Seen) -> Iterator[Exposure]:
    """MS431: from where tenants reach to where only the mesh should, and nobody proved who called."""
    plainly = pl.col("calls").filter(pl.col("mtls").eq(other=False)).sum().alias("plain")
    for caller, callee, plain, calls in seen.let_in.group_by(_PAIR).agg(plainly, _CALLS).sort(_PAIR).iter_rows():
        if plain and seen.crosses(caller, callee):
            message = (
                f"{count(plain)} of {count(calls)} calls came from the tenants' side to the internal {callee} without a "
                "certificate: whoever reaches its port can make them"
            )
            remedy = f"mutual TLS and a list of callers for {callee}: meshslo recommend identity --emit MESH --out DIR"
            yield Exposure("MS431", "error", f"{caller}>{callee}", message, remedy, plain, (caller,))


def _shared_identities(seen: Seen) -> Iterator[Exposure]:
    """MS432: one identity on both sides of the boundary."""
    proved: dict[str, dict[str, int]] = {}
    for edge in seen.edges:
        for service, identity in ((edge.caller, edge.caller_identity), (edge.callee, edge.callee_identity)):
            if identity is not None and service in seen.side:
                services = proved.setdefault(identity.removeprefix("spiffe://"), {})
                services[service] = services.get(service, 0) + edge.calls
    for identity, services in sorted(proved.items()):
        if len({seen.side[service] for service in services}) > 1:
            who = ", ".join(f"{name} ({WORDS[seen.side[name]]}, {count(services[name])} calls)" for name in sorted(services))
            message = f"it is shared by both sides of the boundary, so no rule can tell them apart: {who}"
            remedy = "give each service a service account of its own"
            yield Exposure("MS432", "warning", identity, message, remedy, sum(services.values()), tuple(sorted(services)))


def _tenant_headers(seen: Seen) -> Iterator[Exposure]:
    """MS433: a tenant's name that whoever calls may write."""
    yield from _unproved_tenants(seen)
    yield from _made_up_tenants(seen)


def _unproved_tenants(seen: Seen) -> Iterator[Exposure]:
    """Tenants on calls that no certificate vouches for: an error inside; at the edge a token may, which calls do not tell."""
    edge = (pl.col("caller") == INGRESS) & pl.col("mtls").is_null()
    unproved = seen.tenants.filter(pl.col("mtls").eq_missing(other=False) | edge)
    for caller, callee, calls, tenants in unproved.group_by("caller", "callee").agg(_CALLS, _TENANTS).sort(_PAIR).iter_rows():
        said = f"{count(calls)} calls name tenants ({count(tenants)} in all), and no certificate says who wrote the name"
        if seen.side.get(callee) == "internal":
            remedy = f"take tenants from callers with an identity only: meshslo recommend identity for {callee}"
            yield Exposure("MS433", "error", f"{caller}>{callee}", f"{said}: anybody can", remedy, calls, (caller,))
        elif caller == INGRESS:
            why = f"{said}; whether a token or a key proves it, calls do not tell"
            remedy = "let the edge drop the header and set it from what it has verified"
            yield Exposure("MS433", "note", f"{caller}>{callee}", why, remedy, calls, (caller,))


def _made_up_tenants(seen: Seen) -> Iterator[Exposure]:
    """Tenants that an internal caller named though nobody had called it for them."""
    inner = [service for service, side in seen.side.items() if side == "internal"]
    asked = seen.tenants.select(pl.col("callee").alias("caller"), "tenant").unique()
    made_up = seen.tenants.filter(pl.col("caller").is_in(inner)).join(asked, on=["caller", "tenant"], how="anti")
    for caller, callee, calls, tenants in made_up.group_by("caller", "callee").agg(_CALLS, _TENANTS).sort(_PAIR).iter_rows():
        message = (
            f"{caller} named tenants ({count(tenants)} in all) on {count(calls)} calls, and nobody was seen to call {caller} "
            "for them: a header is what its writer likes"
        )
        remedy = f"a job may do so: then let {callee} take tenants from its principal and the gateway's alone; else refuse it"
        yield Exposure("MS433", "warning", f"{caller}>{callee}", message, remedy, calls, (caller,))


def _unapproved_hosts(seen: Seen) -> Iterator[Exposure]:
    """MS434: hosts outside that nobody approved."""
    for host in seen.hosts:
        of = f" of {', '.join(host.models)}" if host.models else ""
        if host.approved is False:
            message = f"{host.caller} made {count(host.calls)} calls{of} to it, and egress.approved_hosts does not list it"
            remedy = "approve it in the config, or refuse it: meshslo recommend egress --emit MESH --out DIR"
            yield Exposure("MS434", "error", host.host, message, remedy, host.calls, (host.caller,))
    unlisted = [host for host in seen.hosts if host.approved is None]
    if unlisted:
        callers = tuple(sorted({host.caller for host in unlisted}))
        calls = sum(host.calls for host in unlisted)
        where = _few(host.host for host in unlisted)
        message = f"{count(calls)} calls went to {where}, and egress.approved_hosts in the config lists none"
        yield Exposure("MS434", "note", "hosts outside", message, "list the hosts that may be called", calls, callers)


def _rare_callers(seen: Seen) -> Iterator[Exposure]:
    """MS435: identities that called a service so seldom that nobody can tell them from somebody who should not."""
    known = seen.let_in.filter(pl.col("principal").is_not_null())
    counted = known.group_by("callee", "principal").agg(_CALLS, pl.col("caller").unique().sort()).sort("callee", "principal")
    for (callee,), rows in counted.partition_by("callee", as_dict=True, maintain_order=True).items():
        rare = rows.filter(pl.col("calls") < RARE_CALLS)
        if 0 < rare.height < rows.height:
            names = ", ".join(f"{name} ({count(calls)})" for name, calls in rare.select("principal", "calls").iter_rows())
            callers = tuple(rare["caller"].explode().unique().sort())
            message = f"seldom seen among its callers: {names}"
            remedy = f"decide whether they may; meshslo recommend identity leaves callers of fewer than {RARE_CALLS} calls out"
            yield Exposure("MS435", "note", str(callee), message, remedy, int(rare["calls"].sum()), callers)


def _untold(seen: Seen) -> Iterator[Exposure]:
    """MS436: calls that do not say over which connection they came."""
    untold, calls = sum(edge.untold for edge in seen.edges), sum(edge.calls for edge in seen.edges)
    if untold:
        edges = sorted((edge for edge in seen.edges if edge.untold), key=lambda edge: (-edge.untold, edge.caller, edge.callee))
        message = (
            f"{count(untold)} of {count(calls)} calls do not say whether they were encrypted, and by whom they were made: "
            f"{_few(f'{edge.caller}>{edge.callee}' for edge in edges)}"
        )
        remedy = "collect what says it: access logs (docs/access_logs.md), Istio's or Linkerd's metrics, tags of Envoy's spans"
        callers = tuple(sorted({edge.caller for edge in edges if edge.caller != UNKNOWN}))
        yield Exposure("MS436", "note", "connections", message, remedy, untold, callers)


CHECKS: Final[tuple[Callable[[Seen], Iterator[Exposure]], ...]] = (
    _plain_paths,
    _shared_identities,
    _tenant_headers,
    _unapproved_hosts,
    _rare_callers,
    _untold,
)

_PAIR: Final = ("caller", "callee")
_CALLS: Final = pl.col("calls").sum()
_TENANTS: Final = pl.col("tenant").n_unique()


def _few(names: Iterable[str]) -> str:
    """At most three names, and how many more there are."""
    every = list(dict.fromkeys(names))
    return ", ".join(every[:3]) + (f" and {len(every) - 3} more" if len(every) > 3 else "")
