"""What the collector says while it runs: one JSON object a line on standard error, for people and log shippers alike."""

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TextIO

Say = Callable[..., None]
"""say(event, **fields)"""


def sayer(target: TextIO | None = None) -> Say:
    """A function that writes an event with its time to `target` (standard error)."""

    def say(event: str, /, **fields: object) -> None:
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **fields}, default=str)
        print(line, file=target or sys.stderr, flush=True)

    return say
