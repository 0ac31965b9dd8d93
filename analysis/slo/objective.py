"""What an objective says: which calls, what must hold of a call, for which share of them, over how long.

[[slo]]
name = "chat-first-token"
hop = "gateway>generator"
route = "/v1/chat"              # this route, model, tenant alone; all where absent
sli = "first_token"             # total, first_byte, first_token, max_gap; success; goodput
threshold_s = 2.0               # of a phase
target = 0.99                   # share of calls that must keep it
window = "30d"                  # rolling

[[slo]]
name = "chat-goodput"
hop = "gateway>generator"
route = "/v1/chat"
sli = "goodput"
all_of = ["chat-first-token", "chat-success"]   # a call is good when it keeps all of them
target = 0.98
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, field_validator, model_validator

from meshslo.telemetry.vocabulary import PHASES, Phase, Vantage

from .windows import parse_window_s

Sli = Literal["total", "first_byte", "first_token", "max_gap", "success", "goodput"]
"""What is asked of a call: that a phase stays within the threshold, that it succeeds, or that it keeps several objectives."""

SELECTION: Final = ("hop", "route", "model", "tenant")
"""What chooses the calls of an objective."""


NO_OBJECTIVES: Final = (
    'no objectives: add [[slo]] tables to meshslo.toml, with name, hop, sli (such as "first_token"), threshold_s and target, '
    "or pass OpenSLO documents with --openslo"
)
"""What a command says that needs some and was given none."""


class Objective(BaseModel):
    """A share of calls that must keep something, over a rolling window."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
    """Lower-case letters, digits and dashes: it names alerts and documents too."""
    hop: Annotated[str, Field(pattern=r"^[^>]+>[^>]+$")]
    """The calls it is about, `caller>callee`."""
    route: str | None = None
    """Calls of this route alone; of all where absent."""
    model: str | None = None
    """Calls of this model alone; of all where absent."""
    tenant: str | None = None
    """Calls of this tenant alone; of all where absent."""
    sli: Sli
    """What must hold of a call: a phase stays within `threshold_s`, it succeeds, or it keeps all of `all_of`."""
    threshold_s: PositiveFloat | None = None
    """The longest that the phase may take."""
    all_of: tuple[str, ...] = ()
    """Names of the objectives that a good call keeps, for `goodput`."""
    target: Annotated[float, Field(gt=0, lt=1)]
    """Of calls that must keep it."""
    window: str = "30d"
    """Rolling, in minutes, hours, days or weeks."""
    vantage: Vantage | None = None
    """Who is asked; the outermost vantage that saw it where absent."""

    @field_validator("window")
    @classmethod
    def _is_a_window(cls, text: str) -> str:
        parse_window_s(text)
        return text

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if (self.phase is None) != (self.threshold_s is None):
            wanted = "needs threshold_s" if self.phase else "has no threshold_s"
            raise ValueError(f'sli = "{self.sli}" {wanted}: only {", ".join(PHASES)} have one')
        if (self.sli == "goodput") != bool(self.all_of):
            raise ValueError(
                f'all_of names the objectives of sli = "goodput", which needs it, and of no other; this is "{self.sli}"'
            )
        return self

    @property
    def phase(self) -> Phase | None:
        """The phase that is timed; None for success and goodput."""
        return self.sli if self.sli in get_args(Phase) else None  # type: ignore[return-value]  # checked here

    @property
    def window_s(self) -> int:
        """The rolling window in seconds."""
        return parse_window_s(self.window)

    @property
    def budget(self) -> float:
        """The share of calls that may break it: 1 - target, without the noise of binary fractions."""
        return round(1.0 - self.target, 12)

    @property
    def selection(self) -> dict[str, str]:
        """What chooses its calls, without what is left open."""
        chosen = {key: getattr(self, key) for key in SELECTION}
        return {key: value for key, value in chosen.items() if value is not None}

    def __str__(self) -> str:
        """The promise in words, as in "first_token within 2 s for 99 % of calls over 30d"."""
        what = {"success": "success", "goodput": f"all of {', '.join(self.all_of)}"}.get(self.sli)
        promise = what or f"{self.sli} within {self.threshold_s:g} s"
        return f"{promise} for {100.0 * self.target:.10g} % of calls over {self.window}"


def contradictions(objectives: Sequence[Objective]) -> Iterator[str]:
    """Sentences that name two objectives which cannot both be meant, and the way out."""
    named: dict[str, Objective] = {}
    for objective in objectives:
        if objective.name in named:
            yield f'two [[slo]] are called "{objective.name}"; give each its own name'
        named[objective.name] = objective
    for objective in objectives:
        if objective.all_of:
            yield from _of_goodput(objective, named)
    yield from _idle(objectives)


def _of_goodput(goodput: Objective, named: dict[str, Objective]) -> Iterator[str]:
    for name in goodput.all_of:
        member = named.get(name)
        if member is None or member.sli == "goodput":
            yield f'slo "{goodput.name}": all_of names "{name}", which is no objective on a phase or on success'
        elif (member.selection, member.vantage) != (goodput.selection, goodput.vantage):
            yield (
                f'slo "{goodput.name}" and slo "{name}" are about different calls ({_words(goodput)}; {_words(member)}); '
                "goodput needs the same hop, route, model, tenant and vantage in all it is made of"
            )
        elif member.window == goodput.window and member.target < goodput.target:
            yield (
                f'slo "{goodput.name}" wants {goodput.target:g} of calls to keep "{name}", which wants only '
                f"{member.target:g}; no call is good that breaks it, so lower the first or raise the second"
            )


def _idle(objectives: Sequence[Objective]) -> Iterator[str]:
    """Pairs of which one is always met where the other is."""
    for number, one in enumerate(objectives):
        for other in objectives[number + 1 :]:
            if one.name == other.name or (one.selection, one.window, one.vantage) != (
                other.selection,
                other.window,
                other.vantage,
            ):
                continue
            if one.sli == other.sli == "success":
                yield f'slo "{one.name}" and slo "{other.name}" both ask for success of the same calls; keep one'
            for strict, idle in ((one, other), (other, one)):
                if _implies(strict, idle):
                    yield (
                        f'slo "{idle.name}" ({idle}) is never missed while slo "{strict.name}" ({strict}) is met; '
                        "drop the first, or raise its target above the other's"
                    )
                    break


def _implies(strict: Objective, idle: Objective) -> bool:
    """Of one phase only: each phase is asked of other calls (streams, calls that failed), so that no other implies it."""
    if strict.phase is None or strict.phase != idle.phase or strict.threshold_s is None or idle.threshold_s is None:
        return False
    return strict.threshold_s <= idle.threshold_s and strict.target >= idle.target


def _words(objective: Objective) -> str:
    return " ".join(objective.selection.values())
