"""Files that hold telemetry: one file a source, each ending in `SOURCE = ...`.

A source recognises its files by their first bytes and reads them in frames. What it cannot read it tells the tally, with the
line and the reason, and goes on; only a file that is none of its kind at all raises BadInputError.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import polars as pl

from .column_map import ColumnMap
from .inputs import Stream
from .tally import Tally

Gives = Literal["spans", "calls"]


@dataclass(frozen=True)
class Reading:
    """What a source needs besides the bytes: where bad lines are counted, how columns are named."""

    tally: Tally
    columns: ColumnMap = field(default_factory=ColumnMap)


@runtime_checkable
class Source(Protocol):
    """Reads one kind of file."""

    @property
    def name(self) -> str:
        """What `--format` calls it."""
        ...

    @property
    def gives(self) -> Gives:
        """Whether its frames are span tables (`normalize.SPANS`), which still have to meet their traces, or call rows."""
        ...

    def sniff(self, head: bytes) -> bool:
        """Whether a file that begins with `head` (decompressed, at least a line where there is one) is of this kind."""
        ...

    def read(self, stream: Stream, reading: Reading) -> Iterator[pl.DataFrame]:
        """Frames of the stream's spans or calls. Reading the same bytes twice gives equal frames; the caller owns each.

        Frames of calls may lack columns that say nothing, and their words may be categorical (`schema.fit`).
        """
        ...


def sources() -> dict[str, Source]:
    """Every source there is, by its name."""
    import sys

    from meshslo.telemetry.discovery import members

    found = [member for member in members(sys.modules[__name__], "SOURCE") if isinstance(member, Source)]
    return {source.name: source for source in found}
