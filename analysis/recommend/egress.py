"""Egress: which hosts outside the mesh each service calls, against the list of those that are approved.

A model provider that nobody approved is where prompts leave the house. Without a list in the config all hosts that were called
are proposed, for a person to strike out of.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Final

import polars as pl

from meshslo.analysis.policy.deployed import EVERY

from .callers import PASSTHROUGH, outside_calls
from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target
from .words import count, share

FEWEST_CALLS: Final = 300
"""Calls of a service without which its hosts are not told: one called once in a hundred calls is in them, 95 times of 100."""
NONE: Final = "none"
"""The value of no host at all."""

EVERYTHING: Final = ("*",)
"""What is taken for approved where there is no list."""

_SETTING: Final = "allowed_egress_hosts"


class EgressRecommender:
    """The recommender of hosts outside the mesh."""

    kind = "egress"
    plural = "egress"
    from_metrics = True

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """One answer a calling service, in order."""
        counted = outside_calls(observed.calls, observed.series).partition_by("caller", as_dict=True, maintain_order=True)
        return [_answer(observed, str(caller), rows) for (caller,), rows in counted.items()]


def is_approved(host: str, approved: Sequence[str]) -> bool:
    """Whether a host is on the list; what the mesh cannot name never is.

    >>> [is_approved(host, ["*.openai.com"]) for host in ("api.openai.com", "openai.com", "PassthroughCluster")]
    [True, False, False]
    """
    return host != PASSTHROUGH and any(fnmatchcase(host, pattern.lower()) for pattern in approved)


def _answer(observed: Observed, caller: str, counted: pl.DataFrame) -> Recommendation:
    current = Current.read(observed.deployed.find(_SETTING, caller))
    value, status, reason, effect = _judged(caller, counted, observed.config.egress.approved_hosts, current)
    return Recommendation.of(
        _SETTING,
        value,
        target=Target(f"{caller}>{EVERY}"),
        current=current,
        status=status,
        confidence=observed.config.objectives.confidence,
        reason=reason,
        evidence=Evidence(int(counted["calls"].sum()), 0, observed.window_s),
        effect=effect,
    )


def _judged(
    caller: str, counted: pl.DataFrame, approved: Sequence[str], current: Current | None
) -> tuple[str | None, Status, str, dict[str, Effect] | None]:
    """The hosts that a caller may call, what to do about it and why; and what share of its calls that refuses."""
    calls = int(counted["calls"].sum())
    hosts = _hosts(counted)
    if calls < FEWEST_CALLS:
        more = f"{count(FEWEST_CALLS - calls)} more calls of {caller} are needed to tell which hosts it calls"
        return None, "not_identifiable", more + ("; so far: " + _list(hosts) if hosts else ""), None
    if not hosts:
        return None, "keep", f"none of the {count(calls)} calls of {caller} was seen to leave the mesh", None
    allowed = [host for host in hosts if is_approved(host, approved or EVERYTHING)]
    value = ",".join(allowed) or NONE
    refused = sum(sum(hosts[host].values()) for host in hosts if host not in allowed)
    status: Status = "keep" if current is not None and set(str(current.value).split(",")) == set(value.split(",")) else "change"
    reason = _why(caller, hosts, allowed, approved=bool(approved))
    return value, status, reason, {"refused_rate": Effect(before=0.0, after=refused / calls)}


def _hosts(counted: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Calls of each host outside by model, in order of the hosts."""
    hosts: dict[str, dict[str, int]] = {}
    for host, model, calls in counted.filter(pl.col("host").is_not_null()).select("host", "model", "calls").iter_rows():
        hosts.setdefault(host, {})[model or ""] = calls
    return hosts


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
