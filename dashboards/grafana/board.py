"""What a dashboard is made of: boards, their panels, the queries of these, and the lines of recommended values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.recommend import Recommendation, Recommendations
from meshslo.telemetry.vocabulary import Phase

from .names import Names
from .promql import with_label

Kind = Literal["lines", "stacked", "heatmap", "table"]
Role = Literal["value", "at_least", "few", "advised", "now"]
"""How a query is drawn: a value, one that is only a lower bound, one of too few calls, a recommended or a deployed setting."""


@dataclass(frozen=True)
class Query:
    """One PromQL expression and how its series are called; in a table the name of its column.

    In a table `unit` is the column's, and cells from `warn_above` on are coloured.
    """

    expr: str
    legend: str
    role: Role = "value"
    exemplar: bool = False
    unit: str | None = None
    warn_above: float | None = None


@dataclass(frozen=True)
class Advice:
    """Recommendations to draw; none where no file was given."""

    given: Recommendations | None = None

    def lines(self, names: Names, *settings: str) -> list[Query]:
        """A query for the recommended values of the settings, and one for those deployed, where the hop has calls."""
        items = [item for item in (self.given.items if self.given else ()) if item.setting in settings]
        proposed = [(item, item.proposed.value) for item in items if item.proposed and item.status != "not_expressible"]
        now = [(item, item.current.value) for item in items if item.current]
        return [*_lines(names, proposed, "advised", "recommended"), *_lines(names, now, "now", "deployed")]


Ask = Callable[[Names, Advice], Sequence[Query]]


@dataclass(frozen=True)
class Panel:
    """A picture: what it shows and how to read it, its queries, the unit of its axis, its width of 24."""

    title: str
    about: str
    ask: Ask
    unit: str
    kind: Kind = "lines"
    width: int = 12


@dataclass(frozen=True)
class Board:
    """A dashboard: its name in file names and addresses, what it is for, its panels."""

    name: str
    title: str
    about: str
    panels: tuple[Panel, ...]


def by_hop(expr: str, legend: str = "{{hop}} ({{vantage}})") -> Query:
    """A query with a line for each hop, said from whom."""
    return Query(expr, legend)


def tail(names: Names, phase: Phase, *by: str, q: float = 0.99) -> list[Query]:
    """A quantile with exemplars; marks where it lies above the top bucket; and apart, where there are too few calls for it."""
    keys = " ".join(f"{{{{{key}}}}}" for key in ("hop", *by))
    return [
        Query(names.quantile(q, phase, *by), f"{keys} ({{{{vantage}}}})", exemplar=True),
        Query(names.at_least(q, phase, *by), f"{keys} at least", "at_least"),
        Query(names.few(q, phase, *by), f"{keys} of too few calls", "few"),
    ]


def reading(q: float = 0.99) -> str:
    """How to read a panel of `tail`.

    >>> reading(0.95)
    'Marks: at least that, it lies above the top bucket. Dotted: of fewer than 59 calls a step, too few.'
    """
    return f"Marks: at least that, it lies above the top bucket. Dotted: of fewer than {calls_needed(q)} calls a step, too few."


def _lines(names: Names, values: Sequence[tuple[Recommendation, float | int | str]], role: Role, word: str) -> list[Query]:
    drawn = [(item, float(value)) for item, value in values if isinstance(value, float | int)]
    if not drawn:
        return []
    constants = " or ".join(_constant(item, value) for item, value in drawn)
    # A line is there where the hop is: so the hop variable narrows lines as well.
    return [Query(f"({constants}) and on (hop) ({names.calls()})", f"{{{{target}}}} {{{{setting}}}} {word}", role)]


def _constant(item: Recommendation, value: float) -> str:
    expr = f"vector({value:.10g})"
    for label, told in {"hop": item.target.hop, "target": str(item.target), "setting": item.setting.replace("_", " ")}.items():
        expr = with_label(expr, label, told.replace("$", "$$"))
    return expr
