"""What a dashboard is made of: boards, their panels, the queries of these, and the lines of recommended values."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from meshslo.analysis.recommend import Recommendation, Recommendations

from .expressions import Expressions, Setting

Kind = Literal["lines", "stacked", "heatmap", "table"]
Role = Literal["value", "at_least", "few", "advised", "now"]
"""How a query is drawn: a value, one that is only a lower bound, one of too few calls, a recommended or a deployed setting."""


@dataclass(frozen=True)
class Query:
    """One expression and how its series are called; in a table the name of its column.

    In a table `unit` is the column's, and cells from `warn_above` on, or up to `warn_below`, are coloured.
    """

    expr: str
    legend: str
    role: Role = "value"
    exemplar: bool = False
    unit: str | None = None
    warn_above: float | None = None
    warn_below: float | None = None


@dataclass(frozen=True)
class Advice:
    """Recommendations to draw; none where no file was given."""

    given: Recommendations | None = None

    def lines(self, names: Expressions, *settings: str) -> list[Query]:
        """A query for the recommended values of the settings, and one for those deployed, where the hop has calls."""
        items = [item for item in (self.given.items if self.given else ()) if item.setting in settings]
        proposed = [(item, item.proposed.value) for item in items if item.proposed and item.status != "not_expressible"]
        now = [(item, item.current.value) for item in items if item.current]
        return [*_lines(names, proposed, "advised", "recommended"), *_lines(names, now, "now", "deployed")]


Ask = Callable[[Expressions, Advice], Sequence[Query]]


@dataclass(frozen=True)
class Panel:
    """A picture: what it shows and how to read it, its queries, the unit of its axis, its width of 24.

    limit: where values begin to say something else, drawn as a line. may_fall_below_0: the axis goes as far down as values do.
    """

    title: str
    about: str
    ask: Ask
    unit: str
    kind: Kind = "lines"
    width: int = 12
    limit: float | None = None
    may_fall_below_0: bool = False


@dataclass(frozen=True)
class Board:
    """A dashboard: its name in file names and addresses, what it is for, its panels."""

    name: str
    title: str
    about: str
    panels: tuple[Panel, ...]


def _lines(
    names: Expressions, values: Sequence[tuple[Recommendation, float | int | str]], role: Role, word: str
) -> list[Query]:
    drawn = [
        Setting(item.target.hop, str(item.target), item.setting.replace("_", " "), float(value))
        for item, value in values
        if isinstance(value, float | int)
    ]
    return [Query(names.settings(drawn), f"{{{{target}}}} {{{{setting}}}} {word}", role)] if drawn else []
