"""Rollout: whether a new version may have more traffic, how the evidence grew, what is missing until it is decided."""

from collections.abc import Sequence
from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.canary import Arms, Canary, CanarySettings, tells
from meshslo.dashboards.figures import evidence, in_progress, shares_over_time
from meshslo.dashboards.figures.theme import named
from meshslo.dashboards.resilience import evidence_rows, verdict_table
from meshslo.telemetry.errors import MeshsloError, StoreError

from . import Page, answers
from .drawing import cards, draw, every_call, sentences, table
from .view import View

KEYS: Final = ("version", "model", "pod", "zone")
SAID: Final = {"promote": "promote", "hold": "hold", "roll_back": "roll back"}


def render(view: View) -> None:
    """Which share of the calls went to which version, the verdict, and how its evidence grew.

    Rollups keep no versions: of many calls only those in progress are drawn unasked.
    """
    if not every_call(view, "Which versions there are, and the verdict on one, follow from single calls."):
        draw(in_progress(view.in_progress()), "in_progress")
        return
    cells = st.columns(3)
    key = str(cells[0].selectbox("Compare by", KEYS, key="rollout_by", bind="query-params"))
    values = _values(view, key)
    if len(values) < 2:
        raise StoreError(_one(key, values))
    baseline = str(cells[1].selectbox("Baseline", values, key="baseline", bind="query-params"))
    others = [value for value in values if value != baseline]
    candidate = str(cells[2].selectbox("Candidate", others, key="candidate", bind="query-params"))
    top = st.container()
    st.subheader("Where calls went")
    draw(shares_over_time(_shares(view, key), key), "shares")
    with top:
        _verdict(view, Arms(key, baseline, candidate, _hop(view)))


def _hop(view: View) -> str | None:
    """The hop to compare, where one is chosen; the others are left out by the filter anyway."""
    return view.filters.hop[0] if len(view.filters.hop) == 1 else None


def _values(view: View, key: str) -> list[str]:
    """Values of `key` among what is shown, the one with the most calls first."""
    sizes = _saying(view, key).group_by(key).agg(pl.col("count").sum())
    return named(sizes.sort("count", key, descending=[True, False])[key].to_list())


def _saying(view: View, key: str, bucket: str | None = None) -> pl.DataFrame:
    """Counts of the calls that say their `key`, as `canary` takes them: each hop from its outermost vantage that does."""
    keys = tuple(dict.fromkeys((*view.filters.keys(), "hop", key)))
    whole = answers.rollup(view.asked, "total", keys, bucket)
    return whole.where(view.filters.condition() & tells(key)).pick_vantage().totals


def _one(key: str, values: Sequence[str]) -> str:
    """What to do where there is nothing to compare."""
    if values:
        there = f"all of these calls have {key} {values[0]}"
    elif key == "version":
        there = (
            "no call says its version: services do by the resource attribute `service.version`, Istio by the canonical revision"
        )
    else:
        there = f"no call says its {key}"
    return f"{there}; compare by something else, or widen the window or the filters"


def _shares(view: View, key: str) -> pl.DataFrame:
    """start, the key, calls and their share, of each bucket of time."""
    calls = _saying(view, key, view.bucket).group_by("start", key).agg(calls=pl.col("count").sum().cast(pl.Int64))
    every = calls.select("start").unique().join(calls.select(key).unique(), how="cross")
    filled = every.join(calls, on=["start", key], how="left").with_columns(pl.col("calls").fill_null(0))
    return filled.with_columns(share=pl.col("calls") / pl.col("calls").sum().over("start")).sort("start", key)


def _verdict(view: View, arms: Arms) -> None:
    try:
        found = view.canary(arms)
    except MeshsloError as reason:
        st.info(sentences([f"not to be compared: {reason}"]), icon=":material/info:")
        return
    _headline(found, arms)
    st.subheader("How the evidence grew")
    draw(evidence(evidence_rows(found)), "evidence")
    st.caption(
        "At 100 % it is sure, at every look together with 95 %: look as often as you like. Worse on one measure and not within "
        "its margin is rolled back; within the margin on all of them is promoted."
    )
    table(verdict_table(found, CanarySettings().quantile), "measures")
    sides = f"--baseline {_told(arms, arms.baseline)} --candidate {_told(arms, arms.candidate)}"
    st.caption(
        "Calls of one hop, route, model and size of prompt are compared, in pairs. The routing for the next weight: "
        f"`meshslo canary {sides} --emit istio --out policies/`"
    )


def _told(arms: Arms, value: str) -> str:
    return value if arms.key == "version" else f"{arms.key}={value}"


def _headline(found: Canary, arms: Arms) -> None:
    show = {"promote": st.success, "hold": st.info, "roll_back": st.error}[found.verdict]
    icon = {"promote": ":material/trending_up:", "hold": ":material/hourglass:", "roll_back": ":material/undo:"}[found.verdict]
    show(f"**{SAID[found.verdict].capitalize()}** {arms.candidate}. {sentences([found.reason])}", icon=icon)
    cards(
        [
            ("weight now", f"{found.weight} %", f"of calls to {arms.candidate}"),
            ("next weight", f"{found.next_weight} %", "stay" if found.verdict == "hold" else SAID[found.verdict]),
            ("missing", "nothing" if found.needs_calls is None else f"~{found.needs_calls:,}", "more of its calls"),
            ("baseline's calls", f"{found.baseline_calls:,}", arms.baseline),
            ("candidate's calls", f"{found.candidate_calls:,}", arms.candidate),
        ]
    )


PAGE: Final = Page("Rollout", "rollout", ":material/rocket_launch:", 43, render)
