"""What a collector can be sent: for each signal its paths, what of a batch can be taken, and how the answer reads."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from meshslo.telemetry.names import SPELLINGS
from meshslo.telemetry.store.wal import Kind

from .access import Sender

FOREIGN_TENANT: Final = "the sender's token may not speak for this tenant"
_TENANT_NAMES: Final = frozenset(SPELLINGS["tenant"])


@dataclass(frozen=True)
class Checked:
    """How many items of a batch can be taken, how often each reason to turn one away occurred, and what to store.

    `payload` may still hold items that cannot be decoded (the decoder leaves them out by the same rule), but none that its
    sender had no right to send.
    """

    accepted: int
    rejected: Counter[str]
    payload: bytes


@dataclass(frozen=True)
class Signal:
    """One kind of batch. `check` raises BadInputError for what is no such message; `answer` makes a partial success."""

    noun: str
    kind: Kind
    http_path: str
    grpc_path: str
    check: Callable[[bytes, Sender], Checked]
    from_json: Callable[[bytes], bytes]
    answer: Callable[[int, str], Any]

    def respond(self, checked: Checked) -> Any:
        """The answer that OTLP asks for: empty when all was taken, else how many were not, and why."""
        count = checked.rejected.total()
        if not count:
            return self.answer(0, "")
        why = "; ".join(f"{reason} ({times})" for reason, times in sorted(checked.rejected.items()))
        return self.answer(count, f"{count} of {count + checked.accepted} {self.noun} rejected: {why}")


def is_foreign(item: Any, sender: Sender) -> bool:
    """Whether a span or log record names a tenant, under any spelling, that `sender` may not speak for."""
    return any(
        attribute.key.lower() in _TENANT_NAMES and not sender.may_speak_for(attribute.value.string_value)
        for attribute in item.attributes
    )


def remove_foreign(items: Any, sender: Sender) -> int:
    """Take what `sender` may not send out of a repeated field; how many they were."""
    kept = [item for item in items if not is_foreign(item, sender)]
    removed = len(items) - len(kept)
    if removed:
        del items[:]
        items.extend(kept)
    return removed
