"""What Linkerd (2.16 and later) finds in annotations of Services and routes, and in the ServiceProfiles that switch those off.

Source: linkerd.io reference/{timeouts,retries,circuit-breaking}, policy-controller outbound index, linkerd2-proxy
route/extensions: a retry annotation on a route hides all retry annotations of its Service, and the same for timeouts.
"""

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final

from meshslo.analysis.policy.deployed import ClusterRule, RouteRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import child, entries, first_label
from meshslo.analysis.policy.values import Placed, defaults_of

from .http_route import FoundRule

GROUP: Final = "policy.linkerd.io"
PROFILES: Final = "linkerd.io"
TIMEOUT: Final = "timeout.linkerd.io/"
RETRY: Final = "retry.linkerd.io/"
ACCRUAL: Final = "balancer.linkerd.io/failure-accrual"

DEFAULT_LIMIT: Final = 1
MAX_FAILURES: Final = 7
MIN_PENALTY_S: Final = 1.0
BUDGET_RATIO: Final = 0.2
BUDGET_MIN_PER_S: Final = 10.0

ALWAYS: Final = "connect-failure,refused-stream"
"""What every retry policy repeats after: no endpoint was ready, or the stream was refused."""


def is_linkerds(manifest: Manifest) -> bool:
    """Whether a route or Service bears Linkerd's annotations, or is of its own group."""
    return manifest.group == GROUP or any(_is_setting(str(name)) for name in manifest.annotations)


def _is_setting(name: str) -> bool:
    return name.startswith((TIMEOUT, RETRY, "balancer.linkerd.io/"))


class Annotations:
    """Linkerd's settings among manifests, found by the Services that calls go to."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        """Take all manifests that stand together; those of other meshes are passed over."""
        self._all = tuple(manifests)
        self._profiles = {first_label(m.name): m for m in self._all if m.is_a(PROFILES, "ServiceProfile")}
        marked = {m.name: m for m in self._all if m.is_a("v1", "Service") and is_linkerds(m)}
        # A profile switches off what the Service and its routes say.
        self._services = {name: manifest for name, manifest in marked.items() if name not in self._profiles}

    @staticmethod
    def are_in(manifest: Manifest) -> bool:
        """Whether Linkerd finds settings in a manifest that is no route."""
        return manifest.is_a(PROFILES, "ServiceProfile") or (manifest.is_a("v1", "Service") and is_linkerds(manifest))

    @cached_property
    def known(self) -> bool:
        """Whether it is Linkerd that puts these routes into effect."""
        return any(is_linkerds(manifest) or self.are_in(manifest) for manifest in self._all)

    def hold_for(self, found: FoundRule) -> bool:
        """Whether a route is Linkerd's: it is attached to a Service where Linkerd is."""
        return self.known and bool(found.parents("Service"))

    def route(self, found: FoundRule) -> dict[str, Placed]:
        """Settings of a route, its Service's where it has none of a family; none at all beside a profile."""
        parents = found.parents("Service")
        if parents & set(self._profiles):
            return {}
        above = tuple(self._services[name] for name in sorted(parents) if name in self._services)
        return _settings(found.manifest, above, found)

    def rest(self) -> list[RouteRule]:
        """What holds for calls that no route matches: a Service's annotations, or the routes of its profile."""
        whole = [RouteRule(name, frozenset({name}), settings=_settings(m, (), None)) for name, m in self._services.items()]
        return [*whole, *(rule for name, manifest in self._profiles.items() for rule in _profile(name, manifest))]

    def clusters(self) -> list[ClusterRule]:
        """Retry budgets of profiles, failure accrual of Services."""
        budgets = [ClusterRule(name, dict(_budget(manifest))) for name, manifest in self._profiles.items()]
        return [*budgets, *(ClusterRule(name, dict(_accrual(manifest))) for name, manifest in self._services.items())]


def _settings(manifest: Manifest, above: tuple[Manifest, ...], found: FoundRule | None) -> dict[str, Placed]:
    """Settings of the annotations: of each family those of the first resource that has one of it."""
    timers, retries = (_holder(prefix, (manifest, *above)) for prefix in (TIMEOUT, RETRY))
    settings = {} if timers is None else dict(_timeouts(timers))
    if "total_timeout" not in settings and found is not None:
        request = manifest.seconds(child(found.rule, "timeouts"), "request")
        if request is not None and request.value:
            settings["total_timeout"] = request
    if retries is None:
        place = defaults_of("Linkerd", manifest.place(manifest.body, "metadata"))
        return settings | {"retry_attempts": Placed(0, "1", place)}
    return settings | dict(_retries(retries))


def _holder(prefix: str, manifests: tuple[Manifest, ...]) -> Manifest | None:
    return next((m for m in manifests if any(str(name).startswith(prefix) for name in m.annotations)), None)


def _timeouts(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    for name, setting in (("request", "total_timeout"), ("idle", "idle_gap_timeout")):
        given = manifest.seconds(manifest.annotations, TIMEOUT + name)
        if given is not None and given.value:
            yield setting, given


def _retries(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    marks = manifest.annotations
    limit = manifest.amount(marks, f"{RETRY}limit")
    # "0" counts as unset, and unset as 1.
    place = manifest.place(marks, f"{RETRY}limit")
    yield "retry_attempts", limit if limit and limit.value else Placed(DEFAULT_LIMIT, "1", place)
    listed = [str(marks[RETRY + name]) for name in ("http", "grpc") if marks.get(RETRY + name)]
    source = manifest.place(marks, f"{RETRY}http" if marks.get(f"{RETRY}http") else f"{RETRY}grpc")
    yield "retry_on", Placed(",".join([ALWAYS, *listed]), "conditions", source)
    attempt = manifest.seconds(marks, f"{RETRY}timeout")
    if attempt is not None:
        yield "per_try_timeout", attempt


def _accrual(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    marks = manifest.annotations
    if not marks.get(ACCRUAL):
        return
    failures = manifest.amount(marks, f"{ACCRUAL}-consecutive-max-failures")
    yield "consecutive_5xx", failures or Placed(MAX_FAILURES, "1", defaults_of("Linkerd", manifest.place(marks, ACCRUAL)))
    penalty = manifest.seconds(marks, f"{ACCRUAL}-consecutive-min-penalty")
    yield "base_ejection_time", penalty or Placed(MIN_PENALTY_S, "s", defaults_of("Linkerd", manifest.place(marks, ACCRUAL)))


# ServiceProfile


def _profile(callee: str, manifest: Manifest) -> Iterator[RouteRule]:
    for route in entries(manifest.spec, "routes"):
        condition = child(route, "condition")
        pattern = str(condition.get("pathRegex", ""))
        yield RouteRule(
            callee=callee,
            hosts=frozenset({callee}),
            path_kind="regex" if pattern else "any",
            path=pattern,
            partial=bool(set(condition) - {"pathRegex", "method"}),
            name=str(route.get("name", "")),
            settings=dict(_profiled(manifest, route)),
        )


def _profiled(manifest: Manifest, route: Any) -> Iterator[tuple[str, Placed]]:
    total = manifest.seconds(route, "timeout")
    if total is not None and total.value:
        yield "total_timeout", total
    repeats = route.get("isRetryable") is True
    # Repeated for as long as the budget and the timeout allow; one is the least that this says.
    yield "retry_attempts", Placed(int(repeats), "1", manifest.place(route, "isRetryable"))
    if repeats:
        yield "retry_on", Placed("5xx", "conditions", manifest.place(route, "isRetryable"))


def _budget(manifest: Manifest) -> Iterator[tuple[str, Placed]]:
    if not any(route.get("isRetryable") for route in entries(manifest.spec, "routes")):
        return
    budget = child(manifest.spec, "retryBudget")
    place = manifest.place(manifest.spec, "retryBudget")
    ratio = manifest.amount(budget, "retryRatio", "ratio")
    yield "retry_budget_ratio", ratio or Placed(BUDGET_RATIO, "ratio", defaults_of("Linkerd", place))
    least = manifest.amount(budget, "minRetriesPerSecond", "per_s")
    yield "retry_budget_min_per_s", least or Placed(BUDGET_MIN_PER_S, "per_s", defaults_of("Linkerd", place))
