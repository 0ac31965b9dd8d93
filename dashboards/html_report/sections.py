"""The parts of the report: each asks the store one question and shows the answer as the command of that name does."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Final, TypedDict

import polars as pl

from meshslo.analysis.api import CallStore
from meshslo.analysis.config import Config
from meshslo.analysis.policy.deployed import Deployed
from meshslo.analysis.recommend import Recommendations
from meshslo.analysis.report import Report, report
from meshslo.analysis.rollup import Rollup
from meshslo.analysis.streams import stream_costs
from meshslo.dashboards import figures, frames, tables
from meshslo.dashboards.buckets import bucket_for, every
from meshslo.dashboards.commands.recommend import show_to_do
from meshslo.dashboards.frames import GROUP
from meshslo.dashboards.papers import Html
from meshslo.dashboards.presenters import Presenter, Shown, shown
from meshslo.telemetry.errors import MeshsloError
from meshslo.telemetry.vocabulary import Phase

from .page import Part, page

MOST_LINES: Final = 6
"""Groups in one picture, as many as there are colours; tables have them all."""

CLOCKS: Final[tuple[Phase, ...]] = ("first_token", "max_gap")
"""The phases that only streams have."""

HOW_TO_READ: Final = (
    "A call that a timer cut, or whose caller left, counts as longer than what was seen of it. In brackets stand 95 % "
    'confidence intervals; ">= 3.0 s" says that cut calls hide what is beyond; "needs 12 more calls" that fewer cannot tell. '
    "Quantiles of hops do not add up."
)


class Window(TypedDict):
    """Calls that started in [since, until); None is an open end."""

    since: datetime | None
    until: datetime | None


@dataclass(frozen=True)
class Asked:
    """The store, the report that was asked for, and what all else is answered with: config, manifests in use, window."""

    store: CallStore
    report: Report
    config: Config
    deployed: Deployed | None = None
    since: datetime | None = None
    until: datetime | None = None

    @property
    def window(self) -> Window:
        """The window as the store's verbs take it."""
        return {"since": self.since, "until": self.until}

    @cached_property
    def timed(self) -> Rollup:
        """The rollup of the report's phase by hop, in time buckets that suit the window."""
        first, last = self.report.start, self.report.end
        bucket = "1m" if first is None or last is None else bucket_for(last - first)
        phase: Phase = self.report.phase
        return self.store.rollup(by=["hop"], bucket=bucket, phases=[phase], **self.window).pick_vantage()

    def hops(self, phase: Phase = "total") -> Report:
        """The report of a phase by hop."""
        return self.store.report(by=["hop"], phase=phase, quantiles=(0.5, 0.95, 0.99), **self.window)


def report_page(asked: Asked) -> str:
    """The page of a report: the chain, quantiles, endings, survival, the course over time, streams, what follows from it."""
    start, end = (f"{moment:%Y-%m-%d %H:%M:%S}Z" if moment else "-" for moment in (asked.report.start, asked.report.end))
    about = (f"Calls that started from {start} to {end}, in {asked.store.name}.", HOW_TO_READ)
    return page("Where the time goes, and what the mesh should do about it", about, list(_parts(asked)))


def _parts(asked: Asked) -> Iterator[Part]:
    hops = asked.hops()
    yield _chain(hops)
    yield _quantiles(asked)
    yield _endings(hops)
    yield _lasting(asked)
    yield _course(asked)
    yield _streams(asked)
    yield _told("Whose time it is", lambda: shown(asked.store.chain(**asked.window)))
    yield _told("What to change", lambda: _to_do(asked))
    if asked.config.slo:
        yield _told("Objectives", lambda: shown(asked.store.slo(asked.config, at=asked.until)))
    yield _told("What the data can bear", lambda: shown(asked.store.doctor(**asked.window)))


def _chain(hops: Report) -> Part:
    graph = figures.call_graph(frames.hop_rows(hops.frame))
    return Part(
        "The chain",
        [(graph, "Services and hops; beside each its calls and the p99 of their whole duration.")],
        hops._repr_html_(),
    )


def _quantiles(asked: Asked) -> Part:
    answer = asked.report
    keys = ", ".join(answer.by)
    title = f"Quantiles: {figures.AXES[answer.phase]}, by {keys}"
    caption = "Dots with 95 % intervals; an open triangle is a lower bound. What too few calls leave unknown has no dot."
    return Part(title, [(answer.figure(), caption)], answer._repr_html_())


def _endings(hops: Report) -> Part:
    counts = frames.outcome_counts(frames.labelled(hops.frame, ["hop"]))
    return Part("How calls end", [(figures.endings(counts, GROUP), "Shares of the calls of each hop, by ending.")])


def _lasting(asked: Asked) -> Part:
    whole = asked.timed.coarsen(None)
    names = _largest(whole)
    curves = frames.curves(whole, ["hop"], names)
    caption = (
        "Share of calls still running after each moment (Kaplan-Meier), with 95 % bands, on logarithmic axes. "
        "A curve that ends above 0.1 % ends where the longest call was cut: what is beyond was not seen."
    )
    phase = asked.report.phase
    return Part("How long calls last", [(figures.still_running(curves, figures.AXES[phase]), caption)], _left_out(whole, names))


def _course(asked: Asked) -> Part:
    phase = asked.report.phase
    course = frames.labelled(report(asked.timed, phase=phase, quantiles=(0.5, 0.95)), ["hop"])
    names = _largest(asked.timed.coarsen(None))
    drawn = frames.in_order(course.filter(pl.col(GROUP).is_in(names) & (pl.col("timed") > 0)), names)
    unknown = (drawn["status"] == "not_identifiable").sum()
    step = f", a point {every(asked.timed.bucket)}" if asked.timed.bucket else ""
    caption = (
        f"p95 solid, p50 dashed{step}; bands are 95 % intervals, triangles lower bounds. "
        f"{unknown} of {drawn.height} points have too few calls to tell and are left out."
    )
    return Part("Over time", [(figures.over_time(drawn, GROUP, figures.AXES[phase]), caption)])


def _largest(rollup: Rollup) -> list[str]:
    """The hops with the most calls."""
    sizes = rollup.totals.group_by("hop").agg(pl.col("count").sum().alias("calls"))
    return frames.largest(frames.labelled(sizes, ["hop"]), MOST_LINES).sort("calls", descending=True)[GROUP].to_list()


def _left_out(rollup: Rollup, names: Sequence[str]) -> str:
    more = rollup.totals["hop"].n_unique() - len(names)
    return f"<p>The picture shows the {len(names)} hops with the most calls; {more} more are not drawn.</p>" if more else ""


def _streams(asked: Asked) -> Part:
    keys = ["hop", "model"]
    costs = stream_costs(asked.store.scan(asked.since, asked.until), keys)
    if costs.is_empty():
        return Part("Streams", html="<p>None of these calls is known to be a stream.</p>")
    drawn = [(figures.endings(frames.labelled(costs, keys), GROUP), "How streams end, by hop and model.")]
    hops = costs["hop"].unique().to_list()
    for phase in CLOCKS:
        seen = asked.hops(phase).frame.filter(pl.col("hop").is_in(hops) & (pl.col("timed") > 0))
        if not seen.is_empty():
            axis = figures.AXES[phase]
            caption = f"{axis.capitalize()} of the hops that stream, with 95 % intervals."
            drawn.append((figures.quantile_dots(frames.labelled(seen, ["hop"]), GROUP, axis), caption))
    paper = Html()
    tables.show(paper, tables.of_frame(paper, frames.cost_table(costs, keys)))
    paper.print("In vain: made, and held open, for streams that did not end well. Where tokens are not counted, chunks are.")
    return Part("Streams", drawn, paper.text)


def _to_do(asked: Asked) -> Shown:
    """What is to be set, in picture and words; the other answers are counted."""
    advice = asked.store.recommend(config=asked.config, deployed=asked.deployed, **asked.window)
    say = partial(show_to_do, where="`meshslo recommend --all` shows them all, each with its reason.")
    return Shown(advice, Presenter(Recommendations, say, lambda every: shown(every.to_do).drawn()))


CAPTIONS: Final = {
    "Whose time it is": "What each hop keeps users waiting itself, as a share of the slowest traces' time; 95 % intervals.",
    "What to change": "Timeouts now and proposed, beside the observed quantile that the false-timeout budget names.",
    "Objectives": "What is left of each error budget, with its 95 % interval; below 0 the objective is missed.",
}


def _told(title: str, ask: Callable[[], Shown]) -> Part:
    """An answer as its command prints it, below its picture; or the sentence that says why there is none."""
    try:
        found = ask()
    except MeshsloError as error:
        return Part(title, html=Html().paragraph(str(error)))
    drawn = found.drawn()
    return Part(title, [] if drawn is None else [(drawn, CAPTIONS[title])], found.html())
