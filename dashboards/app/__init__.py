"""The Streamlit dashboard: one file a page, each ending in `PAGE = Page(...)`.

Pages are found in this folder and in the entry points `meshslo.pages`. A page asks its `View` (the store under the filters of
the moment) and draws; it computes nothing of its own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .view import View

__all__ = ["Page"]


@dataclass(frozen=True)
class Page:
    """A page: its title, the last part of its address, an icon, its place in the menu, and what draws it."""

    title: str
    path: str
    icon: str
    place: int
    render: "Callable[[View], None]"
