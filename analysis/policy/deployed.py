"""What is deployed now: the settings found in manifests, in the order a proxy would match them."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadInputError

from .manifest import Manifest, load
from .values import Placed, defaults_of, is_default

__all__ = [
    "EVERY",
    "ClusterRule",
    "Deployed",
    "PathKind",
    "Placed",
    "Reader",
    "RouteRule",
    "defaults_of",
    "is_default",
    "read_deployed",
    "read_what_can_be",
]

PathKind = Literal["any", "exact", "prefix", "regex"]


@dataclass(frozen=True)
class RouteRule:
    """One route entry: whom it leads to, what it matches, and its settings.

    `callee` is named by the destination, `hosts` by the virtual host around it. `partial`: it has conditions beyond path and
    model (method, query, labels), so it holds for some calls only and is nobody's answer.
    """

    callee: str
    hosts: frozenset[str]
    path_kind: PathKind = "any"
    path: str = ""
    model: str | None = None
    partial: bool = False
    name: str = ""
    settings: Mapping[str, Placed] = field(default_factory=dict)

    def covers(self, route: str | None, model: str | None) -> bool:
        """Whether every call of this route and model (None: any other) is matched here."""
        return not self.partial and self._covers_path(route) and self.model in (None, model)

    def _covers_path(self, route: str | None) -> bool:
        if self.path_kind == "any" or (self.path_kind == "prefix" and self.path in ("/", "")):
            return True
        if route is None:
            return False
        example = re.sub(r"\{[^}]*\}", "x", route)
        if self.path_kind == "exact":
            return route == self.path
        if self.path_kind == "prefix":
            return example.startswith(self.path)
        return _regex(self.path).fullmatch(example) is not None


EVERY: Final = "*"
"""The callee of settings that hold for every one that has none of its own."""


@dataclass(frozen=True)
class ClusterRule:
    """Settings that hold for a callee whatever the route: retry budgets, breakers, who may call it."""

    callee: str
    settings: Mapping[str, Placed]


@dataclass(frozen=True)
class Deployed:
    """All that was read; `find` answers as the proxies would: the first route that matches."""

    routes: tuple[RouteRule, ...] = ()
    clusters: tuple[ClusterRule, ...] = ()

    def find(self, setting: str, callee: str, route: str | None = None, model: str | None = None) -> Placed | None:
        """The value of a setting for a callee's route and model, or None where it is not set."""
        for name in (callee, EVERY):
            for cluster in self.clusters:
                if cluster.callee == name and setting in cluster.settings:
                    return cluster.settings[setting]
        rule = self._rule(callee, route, model)
        return rule.settings.get(setting) if rule else None

    def knows(self, callee: str) -> bool:
        """Whether any route to the callee was read, so that an absent setting is known to be absent."""
        return any(callee == rule.callee or callee in rule.hosts for rule in self.routes)

    def _rule(self, callee: str, route: str | None, model: str | None) -> RouteRule | None:
        # The destination's name is the better witness; a virtual host is often called "backend".
        by_cluster = [rule for rule in self.routes if rule.callee == callee]
        by_host = [rule for rule in self.routes if callee in rule.hosts]
        return next((rule for rule in by_cluster or by_host if rule.covers(route, model)), None)


class Reader(Protocol):
    """Reads one mesh's manifests. A member ends in `READER`."""

    def reads(self, manifest: Manifest) -> bool:
        """Whether this is a manifest of that mesh that can hold settings."""
        ...

    def read(self, manifests: list[Manifest], model_header: str) -> Deployed:
        """What these manifests, all of which it reads, set."""
        ...


def read_deployed(texts: Mapping[str, str], *, model_header: str = "x-model") -> Deployed:
    """What is deployed, from manifests: file name -> text. Files in which nothing can hold a setting say nothing.

    Raises BadInputError naming file and line for what is no YAML, or when no file holds a manifest that is known.
    """
    manifests = [manifest for name, text in texts.items() for manifest in load(text, name)]
    deployed = _together([_read(reader, manifests, model_header) for reader in _readers()])
    if texts and not (deployed.routes or deployed.clusters):
        raise BadInputError(f"no timeouts, retries or routes of a known mesh in {', '.join(texts)}")
    return deployed


def read_what_can_be(manifests: Sequence[Manifest], model_header: str = "x-model") -> tuple[Deployed, list[BadInputError]]:
    """What is deployed by those manifests that can be read, and an error for each that cannot."""
    found, errors = [], []
    for reader in _readers():
        try:
            found.append(_read(reader, manifests, model_header))
        except BadInputError:
            sound = []
            for manifest in manifests:
                try:
                    _read(reader, [manifest], model_header)
                    sound.append(manifest)
                except BadInputError as error:
                    errors.append(error)
            found.append(_read(reader, sound, model_header))
    return _together(found), errors


def _together(found: Sequence[Deployed]) -> Deployed:
    return Deployed(
        tuple(rule for deployed in found for rule in deployed.routes),
        tuple(rule for deployed in found for rule in deployed.clusters),
    )


def _read(reader: Reader, manifests: Sequence[Manifest], model_header: str) -> Deployed:
    return reader.read([manifest for manifest in manifests if reader.reads(manifest)], model_header)


def _readers() -> Iterator[Reader]:
    from . import readers

    yield from members(readers, "READER")  # type: ignore[misc]  # what ends in READER is one: the contract tests hold it


def _regex(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadInputError(f'"{pattern}" is no regular expression: {error}') from None
