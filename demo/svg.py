"""The demo's result as one self-contained SVG: how long streams ran in each run, and the table beside it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .runs import TITLE, Run, runs_rows

COLOURS: Final = ("#c0392b", "#b9770e", "#1e8449")
"""Before, explore, tightened."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Seconds, and the share of streams that still run after them."""

INK: Final = "#1f2328"
GREY: Final = "#57606a"

WIDTH: Final = 1080
HEIGHT: Final = 440
LEFT, RIGHT, TOP, BOTTOM = 64, 500, 84, 340
LEAST_SHARE: Final = 0.002
"""Where the logarithmic axis ends."""
HIDDEN_SHARE: Final = 0.02
"""A curve that ends above this share ends because a timer cut what it would have shown."""
NAMES_AT: Final = 540
CELLS_AT: Final = (810, 932, 1054)
LINE: Final = 25


def draw(runs: Sequence[Run], curves: Mapping[str, Curve], cap_s: float) -> str:
    """The picture; `cap_s` is the timeout of the start."""
    longest_s = max(float(seconds[-1]) for seconds, _ in curves.values())
    parts = [*_frame(), *_axes(longest_s), *_cap(cap_s, longest_s)]
    coloured = list(zip(curves.items(), COLOURS, strict=False))
    # The first last: it is the shortest, and would lie below the others.
    parts += [_curve(name, curve, colour, longest_s) for (name, curve), colour in reversed(coloured)]
    parts += _table(runs)
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {FONT}>\n' + "\n".join(parts) + "\n</svg>\n"


FONT: Final = 'font-family="system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif" font-size="13"'


def _frame() -> Iterator[str]:
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" rx="8" fill="white" stroke="#d0d7de"/>'
    yield _text(24, 34, f"meshslo demo: {TITLE.lower()}", font_size="18", font_weight="600")
    yield _text(
        LEFT - 40, 66, "share of streams still running after so many seconds (cut ones counted as longer)", fill="#57606a"
    )


def _axes(longest_s: float) -> Iterator[str]:
    for share in (1.0, 0.1, 0.01):
        y = _y(share)
        yield f'<line x1="{LEFT}" x2="{RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#eaeef2"/>'
        yield _text(LEFT - 8, y + 4, f"{share:.0%}", text_anchor="end", fill=GREY)
    step_s = next(step for step in (0.5, 1.0, 2.0, 5.0, 10.0, math.inf) if longest_s / step < 9)
    ticks = np.arange(0.0, longest_s, step_s) if math.isfinite(step_s) else np.array([0.0])
    for tick_s in ticks:
        yield _text(_x(float(tick_s), longest_s), BOTTOM + 20, f"{tick_s:g} s", text_anchor="middle", fill=GREY)
    yield f'<path d="M{LEFT},{TOP} V{BOTTOM} H{RIGHT}" fill="none" stroke="#8c959f"/>'


def _cap(cap_s: float, longest_s: float) -> Iterator[str]:
    x = _x(cap_s, longest_s)
    yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{BOTTOM}" stroke="#57606a" stroke-dasharray="3 3"/>'
    yield _text(x + 6, TOP + 12, f"the {cap_s:g} s timeout of the start", fill=GREY)


def _curve(name: str, curve: Curve, colour: str, longest_s: float) -> str:
    """A step line: it holds a share until the next stream ends; a dot where a timer ended what could be seen."""
    points = [f"M{LEFT},{_y(1.0):.1f}"]
    for second, share in zip(*curve, strict=True):
        points.append(f"H{_x(float(second), longest_s):.1f} V{_y(max(float(share), LEAST_SHARE)):.1f}")
    line = f'<path d="{" ".join(points)}" fill="none" stroke="{colour}" stroke-width="2"><title>{escape(name)}</title></path>'
    last_s, left = float(curve[0][-1]), float(curve[1][-1])
    return line + (_end(last_s, left, colour, longest_s) if left > HIDDEN_SHARE else "")


def _end(last_s: float, left: float, colour: str, longest_s: float) -> str:
    x, y = _x(last_s, longest_s), _y(left)
    note = _text(x + 10, y - 4, f"the rest ({left:.0%}) is hidden", fill=colour)
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>{note}'


def _table(runs: Sequence[Run]) -> Iterator[str]:
    for run, at, colour in zip(runs, CELLS_AT, COLOURS, strict=False):
        yield _text(at, TOP, run.name, text_anchor="end", font_weight="600", fill=colour)
    for line, (name, cells) in enumerate(runs_rows(runs), 1):
        y = TOP + LINE * line
        yield f'<line x1="{NAMES_AT}" x2="{CELLS_AT[-1]}" y1="{y - 17}" y2="{y - 17}" stroke="#eaeef2"/>'
        yield _text(NAMES_AT + 12 * name.startswith(" "), y, name.strip())
        for cell, at in zip(cells, CELLS_AT, strict=False):
            yield _text(at, y, cell, text_anchor="end")


def _x(second: float, longest_s: float) -> float:
    return LEFT + (RIGHT - LEFT) * second / longest_s


def _y(share: float) -> float:
    return TOP + (BOTTOM - TOP) * math.log(share) / math.log(LEAST_SHARE)


def _text(x: float, y: float, words: str, **style: str) -> str:
    """A line of text; `style` holds SVG attributes, with an underscore for a hyphen."""
    attributes = " ".join(f'{name.replace("_", "-")}="{value}"' for name, value in ({"fill": INK} | style).items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'
