"""What both ports do with a batch: read it, turn away what cannot be used, and answer once the rest is on the disk."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from meshslo.telemetry.store.journal import Journal

from .access import Sender
from .forward import Forwarder
from .signals import Limits, Signal

_LARGE_BYTES: Final = 2**20


@dataclass
class IntakeStats:
    """What has come in since the start; items of a batch are counted by the signal's noun, rejections by noun and reason.

    Items that are passed over are acknowledged, but say nothing of calls and are not stored.
    """

    batches: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    passed_over: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)


class Intake:
    """Takes batches into a journal, and offers to a forwarder all that their senders may send."""

    def __init__(self, journal: Journal, forwarder: Forwarder | None = None, limits: Limits = Limits()) -> None:  # noqa: B008 - a frozen value
        self._journal = journal
        self._forwarder = forwarder
        self._limits = limits
        self.stats = IntakeStats()

    def refuse(self, reason: str) -> None:
        """Count a request that is answered with an error, or a connection that is turned away."""
        self.stats.refused[reason] += 1

    async def take(self, signal: Signal, payload: bytes, sender: Sender) -> Any:
        """The answer to a batch of `signal`, given only once what is good of it is on the disk.

        Raises BadInputError where `payload` is no such message, StoreBusyError where it should be sent again later.
        """
        check = partial(signal.check, payload, sender, self._limits)
        checked = await asyncio.to_thread(check) if len(payload) > _LARGE_BYTES else check()
        if checked.accepted:
            await asyncio.wrap_future(self._journal.append(signal.kind, checked.payload))
        if self._forwarder is not None and checked.allowed:
            # What says nothing of calls is of use to others.
            self._forwarder.offer(signal, checked.payload)
        self.stats.batches += 1
        self.stats.accepted[signal.noun] += checked.accepted
        self.stats.passed_over[signal.noun] += checked.passed_over
        self.stats.rejected.update({(signal.noun, reason): count for reason, count in checked.rejected.items()})
        return signal.respond(checked)
