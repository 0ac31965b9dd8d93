"""The page itself: a title, what it is about, and parts with pictures and markup. It asks no network for anything."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go


@dataclass(frozen=True)
class Part:
    """A part of the page: its title, figures with what they show in a sentence, and HTML below."""

    title: str
    figures: "Sequence[tuple[go.Figure, str]]" = field(default=())
    html: str = ""


def page(title: str, about: Sequence[str], parts: Sequence[Part]) -> str:
    """The HTML page, plotly and all in it; `about` are the sentences under its title."""
    names = [f"part-{number}" for number in range(len(parts))]
    links = [f'<a href="#{name}">{escape(part.title)}</a>' for name, part in zip(names, parts, strict=True)]
    return _template().substitute(
        title=escape(title),
        about="\n".join(f"<p>{escape(sentence)}</p>" for sentence in about),
        links=" ".join(links if len(links) > 1 else []),
        parts="\n".join(_part(name, part) for name, part in zip(names, parts, strict=True)),
        plotly=_plotly(),
    )


@cache
def _template() -> Template:
    return Template((files(__package__) / "page.html").read_text(encoding="utf-8"))


@cache
def _plotly() -> str:
    from plotly.offline import get_plotlyjs

    return str(get_plotlyjs())


def _part(name: str, part: Part) -> str:
    drawn = "\n".join(_figure(figure, caption) for figure, caption in part.figures)
    return f'<section id="{name}">\n<h2>{escape(part.title)}</h2>\n{drawn}\n{part.html}</section>'


def _figure(figure: Any, caption: str) -> str:
    # A "<" in a name must not end the script that the figure's data stands in.
    data = str(figure.to_json()).replace("<", "\\u003c")
    drawing = f'<div class="drawing" role="img" aria-label="{escape(caption)}"></div>'
    return (
        f'<figure>{drawing}<script type="application/json">{data}</script>\n<figcaption>{escape(caption)}</figcaption></figure>'
    )
