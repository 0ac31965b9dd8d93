"""What is to be in effect: for each callee its routes, most specific first, with the value wanted of every setting."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

from meshslo.analysis.config import Emit
from meshslo.analysis.policy.deployed import is_default
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.policy.versions import Version, newest_stable, parse_version
from meshslo.analysis.recommend.recommendation import Recommendation, Recommendations, Value

from .access import Access, Outward, accesses, outwards, routed

BUDGET: Final = ("retry_budget_ratio", "retry_budget_min_per_s")
"""Settings of a callee that are written together, as one block."""

OF_CALLEE: Final = frozenset(name for name, setting in SETTINGS.items() if setting.of_callee)
"""Settings that meshes keep for a callee, not for a route."""

NAME_PREFIX: Final = "meshslo-"
"""What the routes that an emitter adds are called by, so that the next run finds and replaces them."""

COMMENT: Final = "# meshslo: "


@dataclass(frozen=True)
class Wanted:
    """A value and the recommendations it comes from; several where callers of one callee differ."""

    value: Value
    items: tuple[Recommendation, ...]

    @property
    def seconds(self) -> float:
        """The value of a timeout."""
        return float(self.value)


@dataclass(frozen=True)
class RoutePolicy:
    """Settings of one route (None: every other) and model (None: every other)."""

    route: str | None
    model: str | None
    wanted: Mapping[str, Wanted]
    mark: str = ""
    """Sets apart the names of routes that read alike, as /a/b and /a-b do."""

    def seconds(self, setting: str) -> float | None:
        """The timeout wanted, None where nothing is."""
        return self.wanted[setting].seconds if setting in self.wanted else None

    @property
    def attempts(self) -> int | None:
        """Repetitions wanted, None where nothing is said."""
        return int(float(self.wanted["retry_attempts"].value)) if "retry_attempts" in self.wanted else None

    @property
    def conditions(self) -> str | None:
        """What to repeat after, None where nothing is said."""
        return str(self.wanted["retry_on"].value) if "retry_on" in self.wanted else None

    @property
    def per_try_s(self) -> float | None:
        """The limit of one attempt, None where it would not end before the whole call's."""
        per_try, total = self.seconds("per_try_timeout"), self.seconds("total_timeout")
        return None if per_try is None or (total is not None and per_try >= total) else per_try

    @property
    def label(self) -> str:
        """The route and model in words that a name may hold.

        >>> RoutePolicy("/v1/chat", "llama-70b", {}).label
        'v1-chat-llama-70b'
        """
        words = "-".join(part for part in (self.route, self.model) if part)
        kept = "".join(letter.lower() if letter.isascii() and letter.isalnum() else "-" for letter in words)
        return "-".join(part for part in (*kept.split("-"), self.mark) if part) or "all"


@dataclass(frozen=True)
class CalleePolicy:
    """What holds for calls of one service: routes most specific first, its retry budget, and other settings of the callee."""

    callee: str
    routes: tuple[RoutePolicy, ...]
    budget: Mapping[str, Wanted] = field(default_factory=dict)
    others: Mapping[str, Wanted] = field(default_factory=dict)
    """Breakers, ejection, locality: what `emit.fields` has a place for."""

    def comments(self, unexpressed: Iterable[Recommendation] = ()) -> list[str]:
        """Evidence of every value as comment lines in a stable order; for `unexpressed` ones, why they are not there."""
        said = {(item.setting, item.target): item for item in (*self._items(), *unexpressed)}
        return [f"{COMMENT}{evidence(said[key])}" for key in sorted(said, key=lambda key: (key[0], str(key[1])))]

    def _items(self) -> Iterable[Recommendation]:
        for holder in (*(route.wanted for route in self.routes), self.budget, self.others):
            for wanted in holder.values():
                yield from wanted.items


@dataclass(frozen=True)
class Plan:
    """Everything an emitter needs: what is wanted of each callee, the mesh's settings, the manifests in use."""

    callees: tuple[CalleePolicy, ...]
    settings: Emit
    manifests: Mapping[str, str]
    accesses: tuple[Access, ...] = ()
    outwards: tuple[Outward, ...] = ()

    def version(self, mesh: str) -> Version:
        """The release that policies are for: the one named, else the mesh's newest that is no candidate."""
        return parse_version(self.settings.mesh_version or newest_stable(mesh))

    @property
    def access_items(self) -> tuple[Recommendation, ...]:
        """What is wanted of who may call whom, and of hosts outside."""
        callers = [item for access in self.accesses for item in access.items]
        return (*callers, *(item for outward in self.outwards for item in outward.items))

    def host(self, callee: str) -> str:
        """The callee's host in the mesh."""
        return self.settings.host.format(callee=callee, namespace=self.settings.namespace)


def make_plan(recommendations: Recommendations, settings: Emit, manifests: Mapping[str, str]) -> Plan:
    """The plan of what recommendations want; one that knows neither a proposed nor a present value wants nothing."""
    by_callee: dict[str, list[Recommendation]] = {}
    for item in routed(recommendations.items):
        if item.wanted is not None and item.setting in SETTINGS and not _unset(item):
            by_callee.setdefault(item.target.callee, []).append(item)
    callees = tuple(_callee(callee, by_callee[callee]) for callee in sorted(by_callee))
    return Plan(callees, settings, manifests, accesses(recommendations), outwards(recommendations))


def _unset(item: Recommendation) -> bool:
    """Whether all there is to want is a mesh's own default: it holds without being written."""
    return item.proposed is None and item.current is not None and is_default(item.current.source)


def _callee(callee: str, items: list[Recommendation]) -> CalleePolicy:
    places = {(item.target.route, item.target.model) for item in items if item.setting not in OF_CALLEE}
    ordered = sorted(places, key=lambda place: (place[0] is None, place[0] or "", place[1] is None, place[1] or ""))
    routes = _set_apart([RoutePolicy(route, model, _wanted(items, route, model)) for route, model in ordered])
    held = {name: wanted for name in OF_CALLEE if (wanted := _largest([i for i in items if i.setting == name])) is not None}
    budget: dict[str, Wanted] = {name: held[name] for name in BUDGET if name in held}
    return CalleePolicy(callee, routes, budget, {name: held[name] for name in sorted(held) if name not in BUDGET})


def _set_apart(routes: list[RoutePolicy]) -> tuple[RoutePolicy, ...]:
    """The routes, those whose labels are equal with a mark of their own that other routes do not change."""
    labels = Counter(route.label for route in routes)
    return tuple(
        replace(route, mark=sha256(repr((route.route, route.model)).encode()).hexdigest()[:6])
        if labels[route.label] > 1
        else route
        for route in routes
    )


def _wanted(items: list[Recommendation], route: str | None, model: str | None) -> dict[str, Wanted]:
    """Each setting from the model's own recommendations, else from the route's for all models."""
    here = [item for item in items if item.target.route == route and item.setting not in OF_CALLEE]
    wanted = {}
    for name in sorted({item.setting for item in here}):
        own = [item for item in here if item.setting == name and item.target.model == model]
        every = [item for item in here if item.setting == name and item.target.model is None]
        value = _largest(own or every)
        if value is not None:
            wanted[name] = value
    return _without_conditions_of_none(wanted)


def _largest(items: list[Recommendation]) -> Wanted | None:
    """The value that serves every caller: the longest timeout, the most retries; None where nobody wants any."""
    values = [item.wanted for item in items if item.wanted is not None]
    if not values:
        return None
    if any(isinstance(value, str) for value in values):
        return Wanted(max(map(str, values), key=len), tuple(items))
    return Wanted(max(float(value) for value in values), tuple(items))


def _without_conditions_of_none(wanted: dict[str, Wanted]) -> dict[str, Wanted]:
    """Nothing is repeated after any condition where nothing is repeated."""
    attempts = wanted.get("retry_attempts")
    if attempts is not None and float(attempts.value) == 0:
        return {name: value for name, value in wanted.items() if name != "retry_on"}
    return wanted


def evidence(item: Recommendation) -> str:
    """A recommendation in one line, for a comment."""
    now = f" (was {item.current.value}, {item.current.source})" if item.current else ""
    value = item.proposed.value if item.proposed else item.wanted
    return f"{item.target}: {item.setting} {value}{now} [{item.status}]: {item.reason}".replace("\n", " ")


def comments_of(items: Iterable[Recommendation]) -> list[str]:
    """The evidence of recommendations as comment lines in a stable order."""
    return sorted(f"{COMMENT}{evidence(item)}" for item in items)


def comments_on(access: Access) -> list[str]:
    """The same of who may call a service, and what is refused since nobody knows who should call it."""
    shut = [f"{COMMENT}calls of {item.target} that no rule here lets in are refused: {item.reason}" for item in access.unknown]
    return [*comments_of(access.items), *(sorted(shut) if access.rules else [])]


def resource(api: str, kind: str, name: str, plan: Plan, spec: dict[str, Any]) -> dict[str, Any]:
    """A Kubernetes resource in the namespace that policies are emitted for."""
    metadata = {"name": name, "namespace": plan.settings.namespace}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def strip_comments(text: str) -> str:
    """A manifest without the comments of an earlier emission."""
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(COMMENT))


def not_expressible(item: Recommendation, why: str) -> Recommendation:
    """The recommendation as the mesh answers it: not expressible, with the closest thing and its danger."""
    return replace(item, status="not_expressible", reason=f"{item.reason}. {why}")


def route_regex(route: str) -> str:
    """The regular expression (RE2) of a route template.

    >>> route_regex("/items/{id}")
    '/items/[^/]+'
    """
    return "".join("[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", route))
