"""What every answer can do: become a pandas frame, a picture, a page in a notebook.

How answers look is not known here. The package that shows them says so under the entry point `meshslo.answers`, name `shown`:
a function from an answer to how it is shown.
"""

from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol

import polars as pl

from meshslo.telemetry.errors import BadConfigError

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

GROUP: Final = "meshslo.answers"


class Framed(Protocol):
    """What has a frame."""

    @property
    def frame(self) -> pl.DataFrame:
        """The answer as rows."""
        ...


class Shown(Protocol):
    """How an answer is shown."""

    def figure(self) -> "go.Figure":
        """The picture that says most of it."""
        ...

    def html(self) -> str:
        """What the command line prints, as HTML."""
        ...


class Answer:
    """Base of what the verbs of a store return; a member has a `frame`."""

    def to_pandas(self: Framed) -> "pd.DataFrame":
        """The frame as pandas; BadConfigError where pandas is not installed."""
        require("pandas", "a pandas frame")
        return self.frame.to_pandas()

    def figure(self) -> "go.Figure":
        """The plotly picture of the answer; BadConfigError where plotly is not installed, or there is no picture of it."""
        require("plotly", "a figure")
        return _shown(self).figure()

    def _repr_html_(self) -> str:
        """As a notebook shows it: the table of the command line, durations and shares readable."""
        return _shown(self).html()


def require(package: str, what: str) -> None:
    """BadConfigError, saying what to install, where `what` needs a package that is not there."""
    if find_spec(package) is None:
        raise BadConfigError(f"{what} needs {package}: pip install 'meshslo[dashboards]'")


def _shown(answer: object) -> Shown:
    shown: Shown = _how()(answer)
    return shown


@cache
def _how() -> Any:
    """What is registered; finding it reads the names of all packages."""
    found = [entry.load() for entry in entry_points(group=GROUP, name="shown")]
    if not found:
        raise BadConfigError(f"nothing is registered under the entry point {GROUP}, name shown: install meshslo anew")
    return found[0]
