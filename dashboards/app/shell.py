"""What every page has around it: the menu, the filters, live mode, and a helpful word where there is nothing to show."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import polars as pl
import streamlit as st

from meshslo.analysis.rollup import KEYS
from meshslo.dashboards import app
from meshslo.dashboards.figures.theme import named
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import MeshsloError

from . import Page, gate
from .answers import Asked, version_of
from .filters import TIMES, Filters
from .start import Start
from .view import View

_P = ParamSpec("_P")

AGES: Final = ("", "15m", "1h", "6h", "24h", "7d", "30d")
ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path d="M1 3h3c4 0 4 10 8 10h3" fill="none" '
    'stroke="#0072B2" stroke-width="2.5"/><path d="M10 1v14" stroke="#D55E00" stroke-width="1.5"/></svg>'
)
"""A curve and the timeout that cuts it, drawn here: Streamlit would fetch an icon by name from elsewhere."""

LESS_AIR: Final = "<style>.stMainBlockContainer { padding: 2.5rem 3rem 4rem; }</style>"
"""Streamlit leaves a tenth of the first screen empty above a page."""

REFRESH_S: Final = 10

FILES_WENT: Final = (OSError, pl.exceptions.ComputeError)
"""What reading raises where files are merged or removed meanwhile; any other error is a mistake of ours, and shows as one."""

RERUN: Final = "rerun_everything"
"""Set by a page's callback that changed a filter: in live mode only the page would run again, and not the filters."""


def pages() -> list[Page]:
    """Every page there is, in the menu's order."""
    found: list[Page] = list(members(app, "PAGE"))  # type: ignore[arg-type]  # a test holds their type
    return sorted(found, key=lambda page: page.place)


def run(start: Start) -> None:
    """Draw the dashboard: called anew for every click of a reader."""
    st.set_page_config(page_title="meshslo", page_icon=ICON, layout="wide")
    st.html(LESS_AIR)
    if not gate.passed(start):
        return
    _seed()
    with st.sidebar:
        filters, live = _sidebar(start)
    _write_address(filters.to_query() | ({"live": "1"} if live else {}))
    menu = [
        st.Page(
            _drawing(page, start, filters, live=live),
            title=page.title,
            icon=page.icon,
            url_path=page.path,
            default=place == 0,
        )
        for place, page in enumerate(pages())
    ]
    st.navigation(menu).run()


def _drawing(page: Page, start: Start, filters: Filters, *, live: bool) -> Callable[[], None]:
    """What Streamlit runs for a page; in live mode again and again."""

    def draw() -> None:
        """Draw the page under its title."""
        st.header(page.title)
        show = st.fragment(_show, run_every=REFRESH_S) if live else _show
        show(page, start, filters)

    return draw


def _seed() -> None:
    """Take the filters from the address once a session: from then on the widgets say what they are."""
    if "seeded" in st.session_state:
        return
    query = {name: st.query_params.get_all(name) for name in (*TIMES, *KEYS)}
    filters = Filters.from_query(query)
    st.session_state.update({name: getattr(filters, name) for name in TIMES})
    st.session_state.update({key: list(getattr(filters, key)) for key in KEYS})
    st.session_state.update(seeded=True, live="live" in st.query_params)


def _write_address(query: dict[str, str | list[str]]) -> None:
    """Say in the address what is chosen; what a page says there of itself stays."""
    for name in (*TIMES, *KEYS, "live"):
        if name in query:
            st.query_params[name] = query[name]
        elif name in st.query_params:
            del st.query_params[name]


def _sidebar(start: Start) -> tuple[Filters, bool]:
    """The filters as widgets, and whether the page refreshes by itself."""
    since, until = st.columns(2)
    for column, name, end in ((since, "since", "first call"), (until, "until", "last call")):
        options = list(dict.fromkeys([*AGES, st.session_state[name]]))
        words = {"": end} | {age: f"{age} ago" for age in AGES[1:]}
        column.selectbox(
            name.title(),
            options,
            key=name,
            accept_new_options=True,
            format_func=lambda text, words=words: words.get(text, text),  # type: ignore[misc]  # bound at once
            help="An age such as 90m, or a time such as 2026-11-02T09:00Z. Times are UTC.",
        )
    typed = Filters(st.session_state["since"] or "", st.session_state["until"] or "")
    there = _options(start, typed)
    for key in KEYS:
        st.multiselect(key.title(), sorted({*there[key], *st.session_state[key]}), key=key, placeholder=f"all {key}s")
    st.button("Reset filters", on_click=_reset, icon=":material/filter_alt_off:", width="stretch")
    live = st.toggle("Live", key="live", help=f"Looks at the store again every {REFRESH_S} s.")
    st.caption(f"Store: `{start.store}`")
    gate.tell_reader(start)
    hop, route, model, tenant = (tuple(st.session_state[key]) for key in KEYS)
    return Filters(typed.since, typed.until, hop, route, model, tenant), live


def _options(start: Start, typed: Filters) -> dict[str, list[str]]:
    """Values of each key to choose from; none where the store cannot be read, which the page says."""
    try:
        view = look(start, typed)
        return {key: named(view.values(key)) for key in KEYS}
    except (MeshsloError, *FILES_WENT):
        return {key: [] for key in KEYS}


def _reset() -> None:
    st.session_state.update(dict.fromkeys(TIMES, "") | {key: [] for key in KEYS})


def look(start: Start, filters: Filters) -> View:
    """The store as it is now, under the filters, for whoever is looking: the one place where a view is made."""
    now = datetime.now(UTC)
    since, until = filters.window(now)
    return View(Asked(start, version_of(start, now), since, until, gate.tenants(start)), filters)


def _show(page: Page, start: Start, filters: Filters) -> None:
    """Draw the page, or say why there is nothing to see and what to do."""
    if st.session_state.pop(RERUN, False):
        st.rerun()

    def draw() -> None:
        view = look(start, filters)
        view.require_calls()
        page.render(view)

    if not _told(start, draw):
        st.button("Look again", icon=":material/refresh:")


def part(draw: Callable[Concatenate[View, _P], None]) -> Callable[Concatenate[View, _P], None]:
    """A part of a page that is drawn anew alone, of the view it was drawn of first, when one of its widgets is used."""

    @wraps(draw)
    def drawn(view: View, /, *args: _P.args, **options: _P.kwargs) -> None:
        _told(view.asked.start, lambda: draw(view, *args, **options))

    fragment: Callable[Concatenate[View, _P], None] = st.fragment(drawn)
    return fragment


def _told(start: Start, draw: Callable[[], None]) -> bool:
    """Whether it could be drawn; where it could not, why is said."""
    try:
        draw()
    except MeshsloError as error:
        _say(str(error))
    except FILES_WENT as error:
        _say(f"{start.store} changed or went while it was being read ({type(error).__name__}: {error})")
    else:
        return True
    return False


def _say(sentence: str) -> None:
    st.info(sentence[:1].upper() + sentence[1:], icon=":material/info:")


def choose(name: str, values: Sequence[str]) -> None:
    """Set the filter `name` from a widget's callback."""
    wanted: dict[str, Any] = {name: list(values), RERUN: True}
    st.session_state.update(wanted)
