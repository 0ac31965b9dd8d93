"""What a collector can be sent: for each signal its paths, what of a batch can be taken, and how the answer reads."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from meshslo.telemetry.names import SPELLINGS
from meshslo.telemetry.store.wal import Kind

from .access import Sender

FOREIGN_TENANT: Final = "the sender's token may not speak for this tenant"
_TENANT_NAMES: Final = frozenset(SPELLINGS["tenant"])


@dataclass(frozen=True)
class Limits:
    """How many attributes a resource or an item may have, and how many bytes each of them may hold.

    The bytes are generous, since a prompt may be an attribute, and above a usual batch: then no attribute need be measured.
    """

    max_attributes: int = 256
    max_attribute_bytes: int = 256 * 2**10

    def fault(self, holder: Any, *, measured: bool) -> str | None:
        """Why `holder` (a resource, span, record or point) has too much, or None; lengths are looked at where `measured`."""
        if len(holder.attributes) > self.max_attributes:
            return f"more than {self.max_attributes} attributes"
        if measured and holder.ByteSize() > self.max_attribute_bytes:
            longest = max((attribute.ByteSize() for attribute in holder.attributes), default=0)
            return f"an attribute of more than {self.max_attribute_bytes} bytes" if longest > self.max_attribute_bytes else None
        return None


@dataclass(frozen=True)
class Checked:
    """How many items of a batch can be taken, how often each reason to turn one away occurred, and what to store.

    `passed_over` are well-formed items that say nothing of calls: their sender did no wrong, and is not told of it.
    `payload` holds `allowed` items: also those that say nothing of calls (the decoder leaves them out by the same rule), but
    none that its sender had no right to send, or that are beyond the limits.
    """

    accepted: int
    rejected: Counter[str]
    payload: bytes
    allowed: int
    passed_over: int


def names_foreign_tenant(item: Any, sender: Sender) -> bool:
    """Whether a span or log record names a tenant, under any spelling, that `sender` may not speak for."""
    return any(
        attribute.key.lower() in _TENANT_NAMES and not sender.may_speak_for(attribute.value.string_value)
        for attribute in item.attributes
    )


@dataclass(frozen=True)
class Group:
    """Items of a message that are judged alike: the repeated field they are in, its resource, why one may be no item."""

    items: Any
    resource: Any
    fault: Callable[[Any], str | None]
    is_foreign: Callable[[Any, Sender], bool] = names_foreign_tenant


@dataclass(frozen=True)
class Signal:
    """One kind of batch. `parse` raises BadInputError for what is no such message; `answer` makes a partial success.

    `beside` is the reason for which an item is passed over, not rejected.
    """

    noun: str
    kind: Kind
    http_path: str
    grpc_path: str
    parse: Callable[[bytes], Any]
    groups: Callable[[Any], Iterator[Group]]
    from_json: Callable[[bytes], bytes]
    answer: Callable[[int, str], Any]
    beside: str | None = None

    def check(self, payload: bytes, sender: Sender, limits: Limits = Limits()) -> Checked:
        """Which items of `payload` can be taken from `sender`; BadInputError where it is no message of this signal."""
        request = self.parse(payload)
        forbidden = _Forbidden(sender, limits, measured=len(payload) > limits.max_attribute_bytes)
        accepted, allowed, rejected, removed = 0, 0, Counter[str](), 0
        for group in self.groups(request):
            removed += forbidden.remove(group, rejected)
            reasons = list(filter(None, map(group.fault, group.items)))
            allowed += len(group.items)
            accepted += len(group.items) - len(reasons)
            rejected.update(reasons)
        passed_over = rejected.pop(self.beside, 0) if self.beside else 0
        kept = bytes(request.SerializeToString()) if removed else payload
        return Checked(accepted, rejected, kept, allowed, passed_over)

    def respond(self, checked: Checked) -> Any:
        """The answer that OTLP asks for: empty when nothing was rejected, else how many items were, and why."""
        count = checked.rejected.total()
        if not count:
            return self.answer(0, "")
        why = "; ".join(f"{reason} ({times})" for reason, times in sorted(checked.rejected.items()))
        items = count + checked.accepted + checked.passed_over
        return self.answer(count, f"{count} of {items} {self.noun} rejected: {why}")


@dataclass(frozen=True)
class _Forbidden:
    """What must not be stored, whatever a decoder could make of it."""

    sender: Sender
    limits: Limits
    measured: bool

    def remove(self, group: Group, rejected: Counter[str]) -> int:
        """Take such items out of `group` and count their reasons; how many they were."""
        whole = self.limits.fault(group.resource, measured=self.measured)
        if whole is not None:
            reasons: list[str | None] = [f"its resource has {whole}"] * len(group.items)
        elif self.sender.tenants is None and not self.measured and not self._is_crowded(group.items):
            return 0
        else:
            reasons = [self._reason(group, item) for item in group.items]
        if not any(reasons):
            return 0
        kept = [item for item, reason in zip(group.items, reasons, strict=True) if reason is None]
        rejected.update(reason for reason in reasons if reason is not None)
        removed = len(group.items) - len(kept)
        del group.items[:]
        group.items.extend(kept)
        return removed

    def _is_crowded(self, items: Any) -> bool:
        """Whether one of `items` has too many attributes: of most batches that is all there is to ask."""
        return max((len(item.attributes) for item in items), default=0) > self.limits.max_attributes

    def _reason(self, group: Group, item: Any) -> str | None:
        if self.sender.tenants is not None and group.is_foreign(item, self.sender):
            return FOREIGN_TENANT
        return self.limits.fault(item, measured=self.measured)
