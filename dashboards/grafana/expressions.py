"""What a panel can ask for, whoever answers: PromQL from a profile's names (`names`), SQL over cells in ClickHouse (`cells`).

Always by hop and vantage, each hop from the outermost side that knows it. What a source cannot tell raises
CannotExpressError; its message is the reason that readers are given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, NoReturn

from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.store.metrics import Measure
from meshslo.telemetry.vocabulary import Outcome, Phase

from .datasources import Datasource, Filter
from .own import GAUGE_WORDS, Gauge, Tokens

RATE: Final = "$__rate_interval"
RANGE: Final = "$__range"
"""Windows: a step of the picture, or all of its time as one."""


class CannotExpressError(MeshsloError):
    """A source has no metric or label for what a panel shows; the message is the reason a reader is given."""


@dataclass(frozen=True)
class Setting:
    """A value to draw as a line: of which hop, what it is for in words, and the value."""

    hop: str
    target: str
    setting: str
    value: float


class Expressions:
    """The questions; a source overrides those it can answer."""

    def __init__(self, name: str, about: str, notes: Sequence[str], datasource: Datasource) -> None:
        """`name` is in file names and addresses; `notes` are sentences on what its figures cannot say."""
        self.name, self.about, self.notes, self.datasource = name, about, notes, datasource
        self.filters: tuple[Filter, ...] = ()
        self.texts: dict[str, str] = {}
        """Variables that a reader types, and their values."""

    def calls(self, *by: str, window: str = RATE) -> str:
        """Calls a second."""
        self._cannot("counter of calls", by, window)

    def outcomes(self) -> str:
        """Calls a second by how they ended."""
        self._cannot("outcomes")

    def share(self, outcomes: Sequence[Outcome], *by: str, window: str = RATE) -> str:
        """The share of calls that ended in one of `outcomes`, 0 to 1."""
        self._cannot("outcomes", outcomes, by, window)

    def quantile(self, q: float, phase: Phase, *by: str, window: str = RATE) -> str:
        """Seconds that a share `q` of calls stayed within, where the window has enough calls to say so."""
        self._cannot(f"histogram of {phase}", q, by, window)

    def few(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile where the window has too few calls: among the largest seen, it says little of the next ones."""
        self._cannot(f"histogram of {phase}", q, by)

    def at_least(self, q: float, phase: Phase, *by: str) -> str:
        """The quantile only where it is a lower bound: the tail beyond was not seen."""
        self._cannot(f"histogram of {phase}", q, by)

    def beyond(self, phase: Phase, *by: str, window: str = RATE) -> str:
        """The share of calls above the top bucket's edge, of which it is only known that they took longer."""
        self._cannot(f"histogram of {phase} that ends in a top bucket", by, window)

    def counted(self, phase: Phase, window: str = RANGE) -> str:
        """How many calls of the window were timed."""
        self._cannot(f"histogram of {phase}", window)

    def mean(self, phase: Phase, *by: str) -> str:
        """Mean seconds."""
        self._cannot(f"histogram of {phase}", by)

    def buckets(self, phase: Phase) -> str:
        """Calls a second in each bucket, of all hops together; edges are in the unit that `edge_unit` names."""
        self._cannot(f"cumulative histogram of {phase}")

    def edge_unit(self, phase: Phase) -> str:
        """Grafana's name of the unit of a histogram's bucket edges."""
        self._cannot(f"cumulative histogram of {phase}")

    def events(self, measure: Measure, *by: str) -> str:
        """Events a second."""
        self._cannot(f"counter of {measure.replace('_', ' ')}", by)

    def per_call(self, measure: Measure) -> str:
        """Events for each call that was asked for, retries not counted."""
        self._cannot(f"counter of {measure.replace('_', ' ')}")

    def amplification(self) -> str:
        """Calls made for each call that was asked for: 1 without retries."""
        self._cannot("counter of retries")

    def in_progress(self) -> str:
        """Calls in progress on average, by Little's law: the seconds that calls took, a second."""
        self._cannot("sum of the seconds of calls")

    def gauge(self, gauge: Gauge) -> str:
        """What a proxy says of now: calls in progress, pods that are out, breakers that are open."""
        self._cannot(f"gauge of {GAUGE_WORDS[gauge]}")

    def tokens(self, kind: Tokens, *by: str) -> str:
        """Tokens a second."""
        self._cannot(f"counter of {kind} tokens", by)

    def encrypted(self) -> str:
        """The share of calls known to be under mutual TLS."""
        self._cannot("label for mtls")

    def identities(self, column: Literal["caller_identity", "callee_identity"]) -> str:
        """Calls a second by who the caller or callee proved to be."""
        self._cannot(f"label for the {column.replace('_', ' ')}")

    def unproved(self) -> str:
        """The share of calls whose caller has no identity that is known."""
        self._cannot("label for the caller identity")

    def outside(self) -> str:
        """Calls a second to hosts outside the mesh, by caller and host."""
        self._cannot("label for hosts outside the mesh")

    def settings(self, settings: Sequence[Setting]) -> str:
        """The values, as series, of those hops that have calls."""
        self._cannot("way to draw settings", settings)

    def recorded(self, record: str) -> str:
        """A series that `meshslo rules` records of objectives, by objective and hop."""
        self._cannot(f"rules that record {record}")

    def alerts(self) -> str:
        """How many alerts of `meshslo rules` fire, by name."""
        self._cannot("rules")

    def _cannot(self, what: str, *_: object) -> NoReturn:
        raise CannotExpressError(f"{self.name} has no {what}")
