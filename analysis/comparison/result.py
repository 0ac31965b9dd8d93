"""What `meshslo compare` says, as values, as a frame and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import polars as pl

from meshslo.analysis.answer import Answer

SCHEMA: Final = "meshslo.compare/1"

Quantity = Literal["duration", "success", "own_time", "at_one_mix"]
"""Quantile of a phase; share of calls that end ok; quantile of a hop's own time on traces' critical paths; total of a call of
as many tokens on both sides."""

Verdict = Literal["slower", "faster", "worse", "better", "inside_noise", "not_identifiable"]
"""Surely more or less than on side A, for times and for shares; no surer than chance; too few calls on a side."""

MOVED: Final = frozenset({"slower", "faster", "worse", "better"})


@dataclass(frozen=True)
class Estimate:
    """One side: calls (or traces) behind it, the value with its interval; None is not known, without a high end it is open.

    A value of None with a low end is known only to be more: every longer call was cut.
    """

    calls: int
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """B - A of one quantity of one target: `unit` is s or ratio; `p_adjusted` is its p-value among all of them, rounded up.

    low and high hold for this difference alone; the verdict is of all of them together. P-values are rounded up in steps
    (`difference.LEVELS`) of 4.5 % where a verdict depends on them: nothing is said to be surer than it is.
    """

    quantity: Quantity
    target: Mapping[str, str | None]
    phase: str | None
    q: float | None
    unit: str
    a: Estimate
    b: Estimate
    estimate: float | None
    low: float | None
    high: float | None
    p_adjusted: float
    verdict: Verdict

    @property
    def is_tested(self) -> bool:
        """Whether calls suffice to bound the difference on one side at least."""
        return self.low is not None or self.high is not None


@dataclass(frozen=True)
class Compared(Answer):
    """Every difference there is; `a` and `b` say which calls each side is.

    left_out: what could not be compared, or was taken for cut, and why, in sentences.
    """

    a: str
    b: str
    confidence: float
    differences: tuple[Difference, ...]
    left_out: tuple[str, ...]

    @property
    def tested(self) -> int:
        """How many differences the verdicts are of: those that calls suffice for."""
        return sum(each.is_tested for each in self.differences)

    @property
    def moved(self) -> tuple[Difference, ...]:
        """The differences beyond the noise of all of them together."""
        return tuple(each for each in self.differences if each.verdict in MOVED)

    @property
    def hop(self) -> Difference | None:
        """The hop whose own time moved most of those that moved; None where none did."""
        own = [each for each in self.moved if each.quantity == "own_time" and each.target.get("hop") != WHOLE]
        return max(own, key=lambda each: abs(each.estimate or 0.0), default=None)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document as Python values, schema `meshslo.compare/1`."""
        return {
            "schema": SCHEMA,
            "a": self.a,
            "b": self.b,
            "confidence": self.confidence,
            "correction": "holm",
            "differences": [asdict(each) for each in self.differences],
            "hop_that_moved": None if self.hop is None else self.hop.target["hop"],
            "left_out": list(self.left_out),
        }

    def to_json(self) -> str:
        """The JSON that `meshslo compare --output json` prints."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a difference: quantity, the target's keys, phase, q, both sides, the difference, p_adjusted, verdict."""
        rows = []
        for each in self.differences:
            row = {name: value for name, value in vars(each).items() if name not in ("target", "a", "b")}
            sides = {f"{side}_{name}": value for side in "ab" for name, value in vars(getattr(each, side)).items()}
            rows.append({"quantity": row.pop("quantity"), **each.target, **row, **sides})
        return pl.DataFrame(rows, infer_schema_length=None)


WHOLE: Final = "(whole traces)"
"""Stands as a hop for the duration of whole traces."""
