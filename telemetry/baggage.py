"""Tenant, model and route of a request, carried by W3C baggage to every span of it, and no other thing a caller sends.

Baggage is immutable and bound to a context. What a dependency in another thread or task sets would be lost on the way back,
so each request also has one shared dictionary that all its contexts point to (`share`).
"""

import hmac
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry import baggage
from opentelemetry.context import Context, attach, create_key, get_current, get_value, set_value
from opentelemetry.sdk.trace import Span, SpanProcessor
from opentelemetry.trace import SpanKind

from .names import CALLER, MODEL, ROUTE, TENANT
from .vocabulary import OTHER

logger = logging.getLogger("meshslo")

CARRIED: Final = (TENANT, MODEL, ROUTE)
"""Labels that travel with a request and land on each of its spans."""

MAX_LABEL_CHARS: Final = 128
"""A longer value is cut: a caller can neither blow up a span nor smuggle a prompt into it."""

HASHED: Final = "hmac-"
"""What a hashed tenant begins with: services with the same key do not hash it again."""

_SHARED: Final = create_key("meshslo-labels")


@dataclass(frozen=True)
class LabelPolicy:
    """What becomes of labels in this process.

    With `tenant_key` a tenant is told by a keyed hash (HMAC-SHA-256, 64 bits of it) from where it enters: spans, metrics and
    the services called see no other. Past `max_values` different values a label is `__other__`, and that is logged once.
    """

    tenant_key: bytes | None = None
    max_values: int = 2_000


class _Labeller:
    """Applies a policy; counts the values it has let through."""

    def __init__(self, policy: LabelPolicy) -> None:
        self._policy = policy
        self._known: dict[str, set[str]] = {name: set() for name in (*CARRIED, CALLER)}

    def label(self, name: str, value: object) -> str | None:
        kept = bounded(value)
        if kept is None:
            return None
        if name == TENANT and self._policy.tenant_key and not kept.startswith(HASHED):
            kept = HASHED + hmac.digest(self._policy.tenant_key, kept.encode(), "sha256").hex()[:16]
        known = self._known.setdefault(name, set())
        if kept in known:
            return kept
        if len(known) >= self._policy.max_values:
            return self._other(name)
        known.add(kept)
        return kept

    def _other(self, name: str) -> str:
        if OTHER not in self._known[name]:
            self._known[name].add(OTHER)
            logger.warning("%s has more than %d values; the rest is %s", name, self._policy.max_values, OTHER)
        return OTHER


_labeller = _Labeller(LabelPolicy())


def set_policy(policy: LabelPolicy) -> None:
    """Apply `policy` to labels from now on."""
    global _labeller  # noqa: PLW0603 - one policy a process, like its tracer provider
    _labeller = _Labeller(policy)


def label(name: str, value: object) -> str | None:
    """`value` as the label `name` under this process's policy; None when nothing is left of it."""
    return _labeller.label(name, value)


def bounded(value: object) -> str | None:
    """`value` as a label: printable, at most MAX_LABEL_CHARS; None when nothing is left.

    >>> bounded("acme"), bounded(chr(10)), len(bounded("x" * 999))
    ('acme', None, 128)
    """
    printable = "".join(filter(str.isprintable, str(value)[:MAX_LABEL_CHARS])).strip()
    return printable or None


def labels_in(context: Context | None = None) -> dict[str, str]:
    """The carried labels of the request that `context` (default: the current one) belongs to."""
    shared = get_value(_SHARED, context)
    found = {name: baggage.get_baggage(name, context) for name in CARRIED}
    found |= shared if isinstance(shared, dict) else {}
    return {name: kept for name, value in found.items() if value and (kept := label(name, value))}


def share(labels: Mapping[str, str], context: Context) -> Context:
    """`context` with `labels` in its baggage and in a dictionary that every context made from it shares."""
    return set_value(_SHARED, dict(labels), with_labels(labels, context))


def with_labels(labels: Mapping[str, str], context: Context) -> Context:
    """`context` with `labels` in its baggage."""
    for name, value in labels.items():
        context = baggage.set_baggage(name, value, context)
    return context


def carry(labels: Mapping[str, str]) -> None:
    """Let `labels` land on every later span of the current request, and on its calls to other services."""
    shared = get_value(_SHARED)
    if isinstance(shared, dict):
        shared.update(labels)
    # Not detached: the label holds until the task, thread or request that set it ends, and its context with it.
    attach(with_labels(labels, get_current()))


def caller_in(context: Context) -> str | None:
    """The name of the service that sent the request of `context`, where it said so."""
    said = baggage.get_baggage(CALLER, context)
    return label(CALLER, said) if said else None


def without_caller(context: Context) -> Context:
    """`context` without the caller's name: it is about this hop, and must not travel on as the next one's."""
    return baggage.remove_baggage(CALLER, context)


class BaggageProcessor(SpanProcessor):
    """Copies the carried labels (and, to server spans, the caller) onto each span as it starts."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Label `span`; an attribute that it was started with stays."""
        context = get_current() if parent_context is None else parent_context
        labels = labels_in(context)
        if span.kind is SpanKind.SERVER and (caller := caller_in(context)):
            labels[CALLER] = caller
        present = span.attributes or {}
        missing = {name: value for name, value in labels.items() if name not in present}
        if missing:
            span.set_attributes(missing)
