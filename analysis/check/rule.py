"""What a rule is, what it looks at, and what it finds."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, get_args

from meshslo.analysis.policy.deployed import Deployed, RouteRule
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.versions import newest_stable, parse_version
from meshslo.analysis.recommend.failures import Attempts, count_attempts
from meshslo.analysis.recommend.observed import Observed
from meshslo.telemetry.errors import BadInputError

Severity = Literal["info", "warning", "error"]
"""Worth knowing; harms some calls under some conditions; harms calls as it stands."""

SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)

UNREADABLE: Final = "MS900"


@dataclass(frozen=True)
class Subject:
    """What is checked: the manifests, the policies in them, the calls where there are some, and the meshes' versions."""

    deployed: Deployed
    manifests: tuple[Manifest, ...] = ()
    observed: Observed | None = None
    versions: Mapping[str, str] = field(default_factory=dict)

    def of(self, group: str, *kinds: str) -> Iterator[Manifest]:
        """The manifests of a group that are of one of `kinds`, kind by kind."""
        return (manifest for kind in kinds for manifest in self._by_kind.get((group, kind), ()))

    @cached_property
    def _by_kind(self) -> dict[tuple[str, str], list[Manifest]]:
        found: dict[tuple[str, str], list[Manifest]] = {}
        for manifest in self.manifests:
            found.setdefault((manifest.group, manifest.kind), []).append(manifest)
        return found

    def version(self, mesh: str) -> tuple[int, ...]:
        """The version of a mesh as numbers, of its newest stable release where nobody named one."""
        return parse_version(self.versions.get(mesh, newest_stable(mesh)))

    @cached_property
    def attempts(self) -> Mapping[tuple[str, str | None], Attempts]:
        """Attempts by hop and route, as calls show them; none without calls."""
        return count_attempts(self.observed.calls, self.observed.config) if self.observed else {}

    def hops_to(self, callee: str) -> list[str]:
        """Hops of a callee that calls show."""
        hops = {hop for hop, _ in self.observed.routes} if self.observed else set()
        return sorted(hop for hop in hops if hop.partition(">")[2] == callee)


@dataclass(frozen=True)
class Hit:
    """What a rule found at one place, "front.yaml:7"; severity and advice are the rule's where not given."""

    place: str
    message: str
    severity: Severity | None = None
    instead: str = ""
    confirmed: bool = False
    """Whether calls show the harm; otherwise it is latent."""


@dataclass(frozen=True)
class Rule:
    """Finds one kind of mistake. The texts make its page: a sentence or some, without Markdown headings."""

    code: str
    name: str
    severity: Severity
    finds: str
    why: str
    instead: str
    evidence: str
    """Where this was seen to hurt: issues, sources, specifications."""
    find: Callable[[Subject], Iterable[Hit | BadInputError]]
    """Every place that has it; an error for a manifest that could not be looked at."""
    needs_calls: bool = False
    """Whether manifests alone can never show it."""


Inspect = Callable[[Manifest, Subject], Iterable[Hit]]


def each(group: str, *kinds: str, inspect: Inspect) -> Callable[[Subject], Iterable[Hit | BadInputError]]:
    """A `find` that looks at each manifest of a kind by itself; one that is not as it should be leaves the others alone."""
    return lambda subject: inspected(subject.of(group, *kinds), subject, inspect)


def each_manifest(inspect: Inspect) -> Callable[[Subject], Iterable[Hit | BadInputError]]:
    """`each` of all kinds."""
    return lambda subject: inspected(subject.manifests, subject, inspect)


def inspected(manifests: Iterable[Manifest], subject: Subject, inspect: Inspect) -> Iterator[Hit | BadInputError]:
    """What `inspect` finds in each of them, and what could not be read."""
    for manifest in manifests:
        try:
            yield from inspect(manifest, subject)
        except BadInputError as error:
            yield error


def each_route(inspect: Callable[[RouteRule, Subject], Hit | None]) -> Callable[[Subject], Iterable[Hit]]:
    """A `find` that looks at one route that was read after the other."""

    def find(subject: Subject) -> Iterator[Hit]:
        for route in subject.deployed.routes:
            hit = inspect(route, subject)
            if hit is not None:
                yield hit

    return find


@dataclass(frozen=True)
class Finding:
    """One thing wrong at one place. `fingerprint` stays the same when lines move."""

    code: str
    severity: Severity
    file: str
    line: int | None
    message: str
    instead: str
    confirmed: bool = False
    fingerprint: str = ""

    @property
    def place(self) -> str:
        """The file and line, as "virtualservice.yaml:17"."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


def apply(rule: Rule, subject: Subject) -> Iterator[Finding]:
    """What a rule finds, each place once: several matches of one route say the same."""
    found: dict[tuple[str, str], Finding] = {}
    for finding in _all(rule, subject):
        found[finding.code, finding.place] = finding
    yield from found.values()


def _all(rule: Rule, subject: Subject) -> Iterator[Finding]:
    try:
        for hit in rule.find(subject):
            yield unreadable(hit) if isinstance(hit, BadInputError) else _finding(rule, hit)
    except BadInputError as error:
        yield unreadable(error)


def _finding(rule: Rule, hit: Hit) -> Finding:
    file, line = at(hit.place)
    return Finding(
        rule.code, hit.severity or rule.severity, file, line, hit.message, hit.instead or rule.instead, hit.confirmed
    )


def unreadable(error: BadInputError, file: str = "") -> Finding:
    """The finding that something cannot be read, at the place its message begins with, else in `file`."""
    match = re.match(r"([^\s:]+(?: [^\s:]+)*):(\d+)", str(error))
    name, line = (match[1], int(match[2])) if match else (file, None)
    said = str(error)[match.end() :].strip() if match else ""
    # The place is told once.
    message = f"this {said}" if said.startswith("is ") else str(error)
    return Finding(UNREADABLE, "error", name, line, message, "mend it, so that it can be checked")


def at(source: str) -> tuple[str, int | None]:
    """File and line of a value's source.

    >>> at("front.yaml:7 (Envoy's default)"), at("front.yaml")
    (('front.yaml', 7), ('front.yaml', None))
    """
    match = re.match(r"(.+?):(\d+)(?: |$)", source)
    return (match[1], int(match[2])) if match else (source, None)
