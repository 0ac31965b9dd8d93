"""What a source could not read: counted, the first reasons kept with their place."""

from dataclasses import dataclass, field
from typing import Final

_KEPT: Final = 5


@dataclass(frozen=True)
class BadLine:
    """A place in an input and what is wrong there."""

    name: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}: {self.reason}"


@dataclass
class Tally:
    """Records of one input: how many were taken, how many not, and the first reasons why not."""

    name: str
    taken: int = 0
    bad: int = 0
    reasons: list[BadLine] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    unnamed: int = 0
    """Records taken that brought no ids of their own (`identity`)."""

    def take(self, count: int, unnamed: int = 0) -> None:
        """Count records that were read, and those of them that brought no ids."""
        self.taken += count
        self.unnamed += unnamed

    def refuse(self, line: int, reason: str, count: int = 1) -> None:
        """Count records that could not be read, at `line` (from 1)."""
        self.bad += count
        if count and len(self.reasons) < _KEPT:
            self.reasons.append(BadLine(self.name, line, reason))

    def pass_over(self, reason: str, count: int) -> None:
        """Count records that are sound but no call."""
        if count:
            self.left_out[reason] = self.left_out.get(reason, 0) + count

    @property
    def bad_ratio(self) -> float:
        """Share of the records that could not be read; 0 where there are none."""
        return self.bad / (self.taken + self.bad) if self.bad else 0.0
