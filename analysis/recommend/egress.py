"""Egress: which hosts outside the mesh each service calls, against the list of those that are approved.

A model provider that nobody approved is where prompts leave the house. Without a list in the config all hosts that were called
are proposed, for a person to strike out of.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import polars as pl

from meshslo.analysis.policy.deployed import EVERY
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.telemetry.vocabulary import INGRESS

from .observed import Observed
from .recommendation import Current, Effect, Evidence, Proposed, Recommendation, Status, Target
from .words import count, share

FEWEST_CALLS: Final = 300
"""Calls of a service without which its hosts are not told: one called once in a hundred calls is in them, 95 times of 100."""
NONE: Final = "none"
"""The value of no host at all."""

_INSIDE: Final = (".svc", ".cluster.local", ".local", ".internal", ".localdomain")
_SETTING: Final = SETTINGS["allowed_egress_hosts"]


class EgressRecommender:
    """The recommender of hosts outside the mesh."""

    kind = "egress"
    plural = "egress"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """One answer a calling service, in order."""
        named = pl.col("hop").str.split(">").list.first().alias("caller")
        counted = (
            observed.calls.group_by(named, "vantage", "peer", "model").agg(pl.len().cast(pl.Int64).alias("calls")).collect()
        )
        callers = sorted(name for name in counted["caller"].unique() if name not in (INGRESS, ""))
        return [_answer(observed, caller, counted.filter(pl.col("caller") == caller)) for caller in callers]


def is_outside(host: str) -> bool:
    """Whether a peer's name is of a host outside the mesh.

    >>> [is_outside(host) for host in ("api.openai.com", "generator", "generator.chat.svc:80", "10.0.0.7", "8.8.8.8")]
    [True, False, False, False, True]
    """
    name = bare(host)
    try:
        return ipaddress.ip_address(name).is_global
    except ValueError:
        return "." in name and not name.endswith(_INSIDE)


def bare(host: str) -> str:
    """A host's name without its port, in lower case.

    >>> bare("API.openai.com.:443"), bare("[2001:db8::1]:443")
    ('api.openai.com', '2001:db8::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    name = host.rpartition(":")[0] if host.count(":") == 1 else host
    return name.rstrip(".").lower()


def _answer(observed: Observed, caller: str, counted: pl.DataFrame) -> Recommendation:
    told = counted.filter(pl.col("peer").is_not_null())
    calls = int(counted["calls"].sum())
    hosts = _hosts(told)
    evidence = Evidence(calls, 0, observed.window_s)
    target = Target(f"{caller}>{EVERY}")
    placed = observed.deployed.find(_SETTING.name, caller)
    current = None if placed is None else Current(placed.value, placed.unit, placed.source)

    def item(value: str | None, status: Status, reason: str, effect: dict[str, Effect] | None = None) -> Recommendation:
        return Recommendation(
            kind=_SETTING.kind,
            setting=_SETTING.name,
            code=_SETTING.code,
            target=target,
            current=current,
            proposed=None if value is None else Proposed(value, _SETTING.unit),
            status=status,
            confidence=observed.config.objectives.confidence,
            reason=reason,
            evidence=evidence,
            effect=effect or {},
        )

    if calls < FEWEST_CALLS:
        more = f"{count(FEWEST_CALLS - calls)} more calls of {caller} are needed to tell which hosts it calls"
        return item(None, "not_identifiable", more + ("; so far: " + _list(hosts) if hosts else ""))
    if not hosts:
        return item(None, "keep", f"none of the {count(calls)} calls of {caller} was seen to leave the mesh")
    approved = observed.config.egress.approved_hosts
    allowed = [host for host in hosts if not approved or any(fnmatchcase(host, pattern.lower()) for pattern in approved)]
    value = ",".join(allowed) or NONE
    refused = sum(sum(hosts[host].values()) for host in hosts if host not in allowed)
    status: Status = "keep" if current is not None and set(str(current.value).split(",")) == set(value.split(",")) else "change"
    reason = _why(caller, hosts, allowed, approved=bool(approved))
    return item(value, status, reason, {"refused_rate": Effect(before=0.0, after=refused / calls)})


def _hosts(told: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Calls of each host outside by model, in order of the hosts."""
    hosts: dict[str, dict[str, int]] = {}
    for peer, model, calls in told.group_by("peer", "model").agg(pl.col("calls").sum()).sort("peer", "model").iter_rows():
        if is_outside(peer):
            of_host = hosts.setdefault(bare(peer), {})
            of_host[model or ""] = of_host.get(model or "", 0) + calls
    return dict(sorted(hosts.items()))


def _list(hosts: dict[str, dict[str, int]], only: Sequence[str] | None = None) -> str:
    return ", ".join(_said(host, models) for host, models in hosts.items() if only is None or host in only)


def _said(host: str, models: dict[str, int]) -> str:
    names = [model for model in models if model]
    of = f" of {', '.join(names)}" if names else ""
    return f"{host} ({count(sum(models.values()))} calls{of})"


def _why(caller: str, hosts: dict[str, dict[str, int]], allowed: list[str], *, approved: bool) -> str:
    calls = sum(sum(models.values()) for models in hosts.values())
    if not approved:
        unlisted = "egress.approved_hosts in the config is empty, so strike out what it should not call"
        return f"{caller} called {_list(hosts)}; {unlisted}"
    strange = [host for host in hosts if host not in allowed]
    if not strange:
        return f"{caller} called approved hosts alone: {_list(hosts)}"
    of = share(sum(sum(hosts[host].values()) for host in strange) / calls)
    kept = f"; approved: {_list(hosts, allowed)}" if allowed else ""
    return f"{caller} called hosts that nobody approved, {of} of its calls outside: {_list(hosts, strange)}{kept}"


def split_hosts(value: str) -> Iterator[str]:
    """The hosts in a value."""
    yield from (host for host in value.split(",") if host and host != NONE)


RECOMMENDER: Final = EgressRecommender()
