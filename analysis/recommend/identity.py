"""Identity: whether every caller shows a certificate, and who calls which route with which methods: least privilege.

What was not seen in the window cannot be told from what is not wanted, so rare callers are set apart for a person to decide,
and what is proposed names how many calls it rests on. Only calls whose connection somebody looked at count (proxies say it).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import polars as pl

from meshslo.analysis.policy.settings import SETTINGS, STRICT
from meshslo.telemetry.vocabulary import UNKNOWN

from .callers import identified_calls
from .observed import Observed
from .recommendation import Current, Effect, Evidence, Recommendation, Status, Target
from .words import count, share

FEWEST_CALLS: Final = 300
"""Calls that say it without which nothing is proposed: none of them plain, fewer than 1 % are, with 95 % confidence."""
RARE_CALLS: Final = 30
"""A caller or method seen less often is set apart: it may be a person's attempt, a script, or an attack."""


class IdentityRecommender:
    """The recommender of mutual TLS and of who may call whom."""

    kind = "identity"
    plural = "identities"
    from_metrics = True

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """Mutual TLS for each hop, principals and methods for each hop and route, in order."""
        calls = observed.calls if observed.one_sided is None else pl.concat([observed.calls, observed.one_sided])
        callees = identified_calls(calls, observed.series).partition_by("callee", as_dict=True)
        found = [item for (callee,), part in callees.items() for item in _Callee(observed, str(callee), part).answers()]
        return sorted(found, key=lambda item: (item.target.hop, item.target.route or "", SETTINGS[item.setting].code))


@dataclass(frozen=True, eq=False)
class _Callee:
    """One service that is called, and the calls of it."""

    observed: Observed
    name: str
    every: pl.DataFrame

    @cached_property
    def seen(self) -> pl.DataFrame:
        """The calls whose caller has a name; all where none has one: they may be the same calls, seen by another."""
        named = self.every.filter(pl.col("caller") != UNKNOWN)
        return named if named.height else self.every

    def answers(self) -> Iterator[Recommendation]:
        for hop, route in sorted(self.seen.select("hop", "route").unique().rows(), key=lambda pair: (pair[0], pair[1] or "")):
            rows = self.seen.filter(pl.col("hop") == hop, pl.col("route").eq_missing(route))
            yield from self._route(Target(str(hop), route), rows)
        for hop in sorted(self.seen["hop"].unique()):
            yield self._strict(Target(str(hop)))

    # Mutual TLS

    @cached_property
    def plain(self) -> dict[str, int]:
        """Calls that came without a certificate, by caller, named or not."""
        rows = self.every.filter(pl.col("mtls").eq(other=False))
        return dict(rows.group_by("caller").agg(pl.col("calls").sum()).sort("calls", "caller", descending=[True, False]).rows())

    def _strict(self, target: Target) -> Recommendation:
        """The answer for the callee: a mode of one caller alone there is not."""
        known, calls = self._calls(pl.col("mtls").is_not_null()), self._calls(pl.lit(value=True))
        evidence = Evidence(calls, 0, self.observed.window_s)
        if self.plain:
            callers = ", ".join(f"{caller} ({count(calls)} calls)" for caller, calls in self.plain.items())
            reason = f"STRICT would refuse callers that show no certificate: {callers}; give them a proxy first"
            return self._item(target, "mtls_strict", None, "keep", reason, evidence)
        if known < FEWEST_CALLS:
            return self._item(target, "mtls_strict", None, "not_identifiable", self._more(known, calls), evidence)
        most = 1.0 - (1.0 - self._confidence) ** (1.0 / known)
        reason = (
            f"all {count(known)} calls of {self.name} that say it came over mutual TLS: with {share(self._confidence)} "
            f"confidence fewer than {share(most)} do not. Callers that did not call in the window are not told"
        )
        current = self._current("mtls_strict")
        status: Status = "keep" if current is not None and current.value == STRICT else "change"
        effect = {"refused_rate": Effect(before=0.0, after=0.0, after_low=0.0, after_high=most)}
        return self._item(target, "mtls_strict", STRICT, status, reason, evidence, effect)

    def _more(self, known: int, calls: int) -> str:
        more = f"{count(FEWEST_CALLS - known)} more calls of {self.name} are needed whose connection is known"
        hint = "" if known else ": access logs, Istio's or Linkerd's metrics and Envoy's spans can say it"
        return f"{more}; {count(known)} of {count(calls)} say it{hint}"

    # Who may call what

    def _route(self, target: Target, every: pl.DataFrame) -> Iterator[Recommendation]:
        rows = every.filter(~pl.col("refused"))
        calls, known = int(rows["calls"].sum()), int(rows.filter(pl.col("principal").is_not_null())["calls"].sum())
        evidence = Evidence(calls, 0, self.observed.window_s)
        refused = int(every["calls"].sum()) - calls
        if known < FEWEST_CALLS:
            reason = f"{count(FEWEST_CALLS - known)} more calls of {target} are needed whose caller's identity is known"
            reason += f"; {count(refused)} that were refused ask for nothing" if refused else ""
            yield self._item(target, "allowed_principals", None, "not_identifiable", reason, evidence)
            return
        nameless = calls - known
        often, rare = _often(rows, "principal")
        if not often:
            reason = f"each of the {len(rare)} callers of {target} called fewer than {RARE_CALLS} times: a person must decide"
            yield self._item(target, "allowed_principals", None, "keep", reason, evidence)
            return
        value = ",".join(often)
        reason = f"they made {count(sum(often.values()))} of {count(calls)} calls of {target}{_apart(rare)}"
        reason += f"; {count(nameless)} calls came without an identity, and would be refused" if nameless else ""
        reason += self._shared(rows)
        reason += f"; {count(refused)} calls that were refused are none of them" if refused else ""
        effect = {"refused_rate": Effect(before=0.0, after=(nameless + sum(rare.values())) / calls)}
        yield self._item(target, "allowed_principals", value, self._status(value), reason, evidence, effect)
        yield from self._methods(target, rows, evidence)

    def _methods(self, target: Target, rows: pl.DataFrame, evidence: Evidence) -> Iterator[Recommendation]:
        often, rare = _often(rows, "method")
        if often and rows["method"].null_count() == 0:
            reason = f"the methods of {count(sum(often.values()))} of {count(evidence.calls)} calls of {target}{_apart(rare)}"
            value = ",".join(often)
            yield self._item(target, "allowed_methods", value, self._status(value, "allowed_methods"), reason, evidence)

    def _shared(self, rows: pl.DataFrame) -> str:
        """That caller and callee go by one identity, where they do: no rule tells them apart then."""
        shared = rows.filter(pl.col("caller_identity") == pl.col("callee_identity"))["principal"].unique().sort().to_list()
        names = ", ".join(shared)
        return f"; caller and callee share the identity {names}: give each a service account of its own" if shared else ""

    def _status(self, value: str, setting: str = "allowed_principals") -> Status:
        """`keep` where what is deployed lets in just that, or for a whole callee just what all its callers need."""
        current = self._current(setting)
        if current is None:
            return "change"
        deployed = set(str(current.value).split(","))
        granted = self.seen.filter(~pl.col("refused"))
        wanted = set(_often(granted, "principal" if setting == "allowed_principals" else "method")[0])
        return "keep" if set(value.split(",")) <= deployed <= wanted else "change"

    # Common

    def _calls(self, which: pl.Expr) -> int:
        return int(self.seen.filter(which)["calls"].sum())

    @property
    def _confidence(self) -> float:
        return self.observed.config.objectives.confidence

    def _current(self, setting: str) -> Current | None:
        placed = self.observed.deployed.find(setting, self.name)
        return Current.read(placed)

    def _item(
        self,
        target: Target,
        setting: str,
        value: str | None,
        status: Status,
        reason: str,
        evidence: Evidence,
        effect: dict[str, Effect] | None = None,
    ) -> Recommendation:
        return Recommendation.of(
            setting,
            value,
            target=target,
            current=self._current(setting),
            status=status,
            confidence=self._confidence,
            reason=reason,
            evidence=evidence,
            effect=effect,
        )


def _often(rows: pl.DataFrame, name: str) -> tuple[dict[str, int], dict[str, int]]:
    """Calls of each value of a column, in order: of those seen often, and of those seen rarely."""
    counted = rows.filter(pl.col(name).is_not_null()).group_by(name).agg(pl.col("calls").sum()).sort(name).rows()
    return (
        {value: calls for value, calls in counted if calls >= RARE_CALLS},
        {value: calls for value, calls in counted if calls < RARE_CALLS},
    )


def _apart(rare: dict[str, int]) -> str:
    named = ", ".join(f"{value} ({count(calls)})" for value, calls in rare.items())
    return f"; set apart as rare, for a person to decide: {named}" if rare else ""


RECOMMENDER: Final = IdentityRecommender()
