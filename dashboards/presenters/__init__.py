"""How each kind of answer is shown: one file a kind, each ending in `PRESENTER = Presenter(...)`.

`.figure()` and a notebook find them here; those of other packages through the entry points `meshslo.presenters`.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from meshslo.dashboards.papers import Html, on_paper
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadConfigError

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from rich.console import Console

A = TypeVar("A")


@dataclass(frozen=True)
class Presenter(Generic[A]):
    """The class of an answer, how the command line prints it, and the picture that says most of it.

    `figure` is None where there is no picture of this kind, and returns None where an answer holds nothing to draw.
    """

    of: type[A]
    show: "Callable[[A, Console], None]"
    figure: "Callable[[A], go.Figure | None] | None" = None


@dataclass(frozen=True)
class Shown:
    """An answer with its presenter."""

    answer: Any
    presenter: Presenter[Any]

    def figure(self) -> "go.Figure":
        """The picture; BadConfigError where there is none of such an answer."""
        drawn = self.drawn()
        if drawn is None:
            raise BadConfigError(f"there is no picture of this {type(self.answer).__name__}: take its .frame")
        return drawn

    def drawn(self) -> "go.Figure | None":
        """The picture, where there is one."""
        return None if self.presenter.figure is None else self.presenter.figure(self.answer)

    def html(self) -> str:
        """What the command line prints, as HTML."""
        return on_paper(Html(), self.answer, self.presenter.show)


def shown(answer: object) -> Shown:
    """The answer with the presenter of its class; BadConfigError where there is none."""
    for presenter in members(sys.modules[__name__], "PRESENTER"):
        assert isinstance(presenter, Presenter), f"{presenter!r} is no Presenter"  # noqa: S101
        if isinstance(answer, presenter.of):
            return Shown(answer, presenter)
    raise BadConfigError(f"nothing shows a {type(answer).__name__}: register a PRESENTER of it under meshslo.presenters")
