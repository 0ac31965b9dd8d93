"""What every recommender answers with: one frozen value, its JSON (`meshslo.recommendations/1`), and the way back from it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal, get_args

import polars as pl
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from meshslo.analysis.answer import Answer
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.policy.values import Placed
from meshslo.telemetry.errors import BadInputError

SCHEMA: Final = "meshslo.recommendations/1"

Status = Literal["change", "explore", "keep", "not_identifiable", "not_expressible"]
"""Set the proposed value; set it to learn what a cap hides; leave it; too few calls to say; no mesh field does this."""

STATUSES: Final[tuple[Status, ...]] = get_args(Status)

Value = float | int | str

_STRICT: Final = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Target:
    """Which calls a setting is for. No route: all routes of the hop; no model: all models without a value of their own."""

    hop: str
    route: str | None = None
    model: str | None = None

    __pydantic_config__ = _STRICT

    @property
    def caller(self) -> str:
        """Who calls."""
        return self.hop.partition(">")[0]

    @property
    def callee(self) -> str:
        """Who is called: the service whose policy holds the setting."""
        return self.hop.partition(">")[2]

    def __str__(self) -> str:
        """The target in words, as in "gateway>generator /v1/chat, model m"."""
        model = f", model {self.model}" if self.model else ""
        return f"{self.hop}{' ' + self.route if self.route else ''}{model}"


@dataclass(frozen=True)
class Current:
    """The value deployed now and where it was read, "virtualservice.yaml:17", or what data it was inferred from."""

    value: Value
    unit: str
    source: Annotated[str, Field(alias="from")]

    __pydantic_config__ = _STRICT

    @classmethod
    def read(cls, placed: Placed | None) -> "Current | None":
        """What manifests say; None where they say nothing."""
        return None if placed is None else cls(placed.value, placed.unit, placed.source)


@dataclass(frozen=True)
class Proposed:
    """The value to set."""

    value: Value
    unit: str

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Evidence:
    """What a value rests on: calls and how many of them were cut, the window in seconds, the estimate and its interval."""

    calls: int
    censored: int
    window_s: float
    estimate: float | None = None
    low: float | None = None
    high: float | None = None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Effect:
    """One quantity before and after; an end of an interval is null where it is not known, and never a guess."""

    before: float | None = None
    after: float | None = None
    before_low: float | None = None
    before_high: float | None = None
    after_low: float | None = None
    after_high: float | None = None

    __pydantic_config__ = _STRICT


@dataclass(frozen=True)
class Recommendation:
    """One setting of one target: now, proposed, on what evidence, with what effect, and why in a sentence to repeat.

    `effect` is keyed by quantity: false_timeout_rate, success_rate, amplification, longest_hold_s, tokens_in_vain, ... .
    """

    kind: str
    setting: str
    code: str
    target: Target
    current: Current | None
    proposed: Proposed | None
    status: Status
    confidence: float
    reason: str
    evidence: Evidence
    effect: dict[str, Effect]

    __pydantic_config__ = _STRICT

    @classmethod
    def of(
        cls,
        setting: str,
        value: Value | None,
        *,
        target: Target,
        current: Current | None,
        status: Status,
        confidence: float,
        reason: str,
        evidence: Evidence,
        effect: Mapping[str, Effect] | None = None,
    ) -> "Recommendation":
        """One of a setting in `SETTINGS`, which knows its kind, code and unit; no value is no proposal."""
        known = SETTINGS[setting]
        proposed = None if value is None else Proposed(value, known.unit)
        return cls(
            known.kind, setting, known.code, target, current, proposed, status, confidence, reason, evidence, dict(effect or {})
        )

    @property
    def wanted(self) -> Value | None:
        """The value to have afterwards: the proposed one, else the one deployed now, else None."""
        if self.proposed is not None and self.status != "not_expressible":
            return self.proposed.value
        return None if self.current is None else self.current.value


@dataclass(frozen=True)
class Learned:
    """When the calls began that recommendations rest on, first and last, and until when what they say is to be trusted."""

    start: datetime
    end: datetime
    expires: datetime

    __pydantic_config__ = _STRICT

    @classmethod
    def between(cls, start: datetime, end: datetime) -> "Learned":
        """What was learned between two moments says no more of the future than of the past: it holds as long again.

        A day at least, so that it can be used, and `LONGEST` at most: models and their load change by then.
        """
        return cls(start, end, end + min(max(end - start, SHORTEST), LONGEST))


SHORTEST: Final = timedelta(days=1)
LONGEST: Final = timedelta(days=30)


@dataclass(frozen=True)
class Recommendations(Answer):
    """All of them, in a stable order; `.to_json()` and `parse_recommendations` are inverse.

    learned: on which calls, and until when they hold; None where nobody said.
    """

    schema: str = SCHEMA
    items: tuple[Recommendation, ...] = ()
    learned: Learned | None = None

    __pydantic_config__ = _STRICT

    def with_answers(self, answers: Iterable[Recommendation]) -> "Recommendations":
        """These, with `answers` in the place of those for the same setting and target, and the others after them."""
        new = {(item.setting, item.target): item for item in answers}
        kept = [new.pop((item.setting, item.target), item) for item in self.items]
        return replace(self, items=(*kept, *new.values()))

    @property
    def to_do(self) -> "Recommendations":
        """Those that say to set something: to change, or to explore."""
        return replace(self, items=tuple(item for item in self.items if item.status in ("change", "explore")))

    def to_json(self) -> str:
        """The JSON that `meshslo recommend --output json` prints."""
        return _ALL.dump_json(self, by_alias=True, indent=2, exclude_none=False).decode()

    @property
    def frame(self) -> pl.DataFrame:
        """One row a recommendation: the target's parts, setting, values as text, status, calls, estimate, interval, reason."""
        return pl.DataFrame([_row(item) for item in self.items], schema=_ROW)


_ALL: Final = TypeAdapter(Recommendations)

_ROW: Final = pl.Schema(
    dict.fromkeys(("kind", "setting", "code", "hop", "route", "model", "status", "current", "proposed", "unit"), pl.String())
    | {"calls": pl.Int64(), "censored": pl.Int64()}
    | dict.fromkeys(("window_s", "estimate", "low", "high", "confidence"), pl.Float64())
    | {"reason": pl.String()}
)


def _row(item: Recommendation) -> dict[str, object]:
    known = item.proposed or item.current
    own = {name: getattr(item, name) for name in ("kind", "setting", "code", "status", "confidence", "reason")}
    amounts = {
        "current": None if item.current is None else str(item.current.value),
        "proposed": None if item.proposed is None else str(item.proposed.value),
        "unit": known.unit if known else None,
    }
    return own | vars(item.target) | amounts | vars(item.evidence)


def parse_recommendations(text: str, *, name: str = "recommendations.json") -> Recommendations:
    """The recommendations in a JSON text; BadInputError names the file and the first place that is not as it should be."""
    try:
        read = _ALL.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top"
        raise BadInputError(f"{name} holds no recommendations: {place}: {first['msg']}") from None
    if read.schema != SCHEMA:
        raise BadInputError(f'{name} says schema "{read.schema}"; this version reads {SCHEMA}')
    return read
