"""Timeouts: three clocks for each hop, route and (where models differ) model: first token, idle gap, total; and per try.

A value is the upper confidence bound of the quantile that the false-timeout budget names, rounded up to two digits. Where a
timer hides the tail, a bound from chunks stands in for the estimate until calls have been seen under a longer timer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import polars as pl

from meshslo.analysis.streams import STREAMS
from meshslo.analysis.tokens.rows import token_rows
from meshslo.analysis.tokens.timeout import timeout_for_tokens

from .chain import HopRoute, Link, deepest_first, find_links
from .clocks import Answer, Timer, judge, recommendation
from .current import Timers
from .explore import longest_stream
from .observed import Observed, Tables, answered, differ
from .recommendation import Recommendation, Target
from .words import count, seconds, share

EARLY_HEADERS_RATIO: Final = 0.5
"""Headers that come before half the time to the first token do not announce it."""

Totals = dict[tuple[HopRoute, str | None], Recommendation]
"""Total timeouts by hop, route and model."""

DIFFER_AT: Final = (0.99, 0.95, 0.9, 0.5)
"""Shares at which models are compared, the first that calls can tell."""


class TimeoutRecommender:
    """The recommender of timeouts."""

    kind = "timeout"
    plural = "timeouts"

    def recommend(self, observed: Observed) -> Sequence[Recommendation]:
        """First token, idle gap, total and per try of every hop and route, callees before their callers inside."""
        found = list(_Run(observed).answers())
        order = {setting: n for n, setting in enumerate(("first_token_timeout", "idle_gap_timeout", "total_timeout"))}

        def key(item: Recommendation) -> tuple[str, str, str, int]:
            return item.target.hop, item.target.route or "", item.target.model or "", order.get(item.setting, 9)

        return sorted(found, key=key)


@dataclass(frozen=True, eq=False)
class _Run:
    """One pass over what was observed."""

    observed: Observed

    @cached_property
    def links(self) -> list[Link]:
        return find_links(self.observed.calls)

    @cached_property
    def timers(self) -> Timers:
        return Timers(self.observed)

    def answers(self) -> Iterator[Recommendation]:
        totals: Totals = {}
        exploring: dict[HopRoute, Target] = {}
        for place in deepest_first(self.links, self.observed.routes):
            below = next(
                (exploring[link.child] for link in self.links if link.parent == place and link.child in exploring), None
            )
            for item in (*self._streams(place), *self._per_try(place)):
                yield item if below is None else _wait_for(below, item)
            for item in self._totals(place, totals):
                totals[place, item.target.model] = item
                if item.status == "explore":
                    exploring.setdefault(place, item.target)
                yield item
            if below is not None:
                exploring.setdefault(place, below)

    # First token and idle gap

    def _streams(self, place: HopRoute) -> Iterator[Recommendation]:
        if place not in self.observed.streamed:
            return
        first, silent = self.observed.tables("first_token"), self.observed.silences
        if self._has_calls(first, place):
            for target in self._targets(first, place):
                yield self._first_token(target, first)
        if self._has_calls(silent, place):
            for target in self._targets(silent, place):
                timer = self._timer("idle_gap_timeout", target, silent)
                answer = judge(timer)
                yield recommendation(timer, replace(answer, reason=answer.reason + self._longest_wait(target)))

    def _first_token(self, target: Target, tables: Tables) -> Recommendation:
        timer = self._timer("first_token_timeout", target, tables)
        answer = judge(timer)
        if answer.value_s is not None and self._headers_come_early(target):
            early = "headers come before the answer begins, so no mesh timer ends at the first token"
            reason = f"{answer.reason}; {early}: the idle timer guards it instead (idle_gap_timeout)"
            answer = Answer("not_expressible", answer.value_s, reason)
        return recommendation(timer, answer)

    def _headers_come_early(self, target: Target) -> bool:
        """Whether headers come well before the first token: the guard of a proxy's per-try timer ends with the headers."""
        headers_s, first_s = self.waits.get((target.hop, target.route, target.model), (None, None))
        return headers_s is not None and first_s is not None and headers_s < first_s * EARLY_HEADERS_RATIO

    @cached_property
    def waits(self) -> dict[tuple[str, str | None, str | None], tuple[float | None, float | None]]:
        """Median seconds to headers and to the first token of each hop, route and model, and of all models (None) together.

        Of streams: the headers of an answer that comes whole wait for all of it. Of all calls where no headers of streams are
        known, as where proxies do not tell what streams.
        """
        of_streams = pl.col("first_byte_s", "first_token_s").fill_nan(None).filter(STREAMS).median()
        headers = pl.col("first_byte_s").fill_nan(None).median().alias("headers_s")
        asked = [
            answered(self.observed.calls).group_by(*keys).agg(of_streams, headers)
            for keys in (("hop", "route", "model"), ("hop", "route"))
        ]
        # Together, so that calls are read once.
        medians = pl.concat(pl.collect_all(asked), how="diagonal").with_columns(pl.coalesce("first_byte_s", "headers_s"))
        rows = medians.select("hop", "route", "model", "first_byte_s", "first_token_s").iter_rows()
        return {(hop, route, model): (headers_s, first_s) for hop, route, model, headers_s, first_s in rows}

    def _longest_wait(self, target: Target) -> str:
        if not self._headers_come_early(target):
            return ""
        return "; it covers the wait from early headers to the first token, which no other timer sees"

    # Per try

    def _per_try(self, place: HopRoute) -> Iterator[Recommendation]:
        """The headers of one attempt: where a timer limits them now, or where they announce the first token of a stream."""
        tables = self.observed.tables("first_byte")
        if not self._has_calls(tables, place):
            return
        for target in self._targets(tables, place):
            if self._has_try_timer(target):
                timer = self._timer("per_try_timeout", target, tables)
                yield recommendation(timer, judge(timer))

    def _has_try_timer(self, target: Target) -> bool:
        if self.timers.current("per_try_timeout", target) is not None:
            return True
        return (target.hop, target.route) in self.observed.streamed and not self._headers_come_early(target)

    # Total

    def _totals(self, place: HopRoute, below: Totals) -> Iterator[Recommendation]:
        """Each model's value where they differ, and the route's for all others, which may be as slow as the slowest."""
        tables = self.observed.tables("total")
        every, *targets = self._targets(tables, place)
        own = [self._total(target, tables, self._floor(target, below)) for target in targets]
        yield from own
        slowest = [(float(item.wanted), item.target.model) for item in own if item.wanted is not None]
        models = [(value_s, f"model {model} needs {seconds(value_s)}, and others may too") for value_s, model in slowest]
        yield self._total(every, tables, [*self._floor(every, below), *models])

    def _total(self, target: Target, tables: Tables, floors: list[tuple[float, str]]) -> Recommendation:
        timer = self._timer("total_timeout", target, tables)
        longest = max(self._longest_answers(target, timer), default=(0.0, ""))
        follows = self.observed.config.objectives.total_follows == "max_tokens"
        floor = max([*floors, *([longest] if follows else [])], default=None)
        answer = judge(timer, bound=lambda: longest_stream(self.observed, target, timer), floor=floor)
        if follows and not longest[0] and longest[1]:
            answer = replace(answer, reason=f"{answer.reason}; {longest[1]}")
        elif not follows and answer.status != "explore" and answer.value_s is not None and longest[0] > answer.value_s:
            covered = 'total_follows = "max_tokens" under [objectives] covers them'
            answer = replace(answer, reason=f"{answer.reason}; {longest[1]}, and may be cut: {covered}")
        return recommendation(timer, answer)

    def _longest_answers(self, target: Target, timer: Timer) -> Iterator[tuple[float, str]]:
        """What answers of max_tokens take, and why, of each model that streams and has such; 0 where that is not known yet."""
        for place, rows in self._token_rows.items():
            if place[:2] == (target.hop, target.route) and target.model in (None, place[2]):
                max_tokens = self.observed.config.models[place[2]].max_tokens or 0
                found = timeout_for_tokens(rows, max_tokens, timer.budget, timer.confidence)
                answers = f"answers of max_tokens = {count(max_tokens)} of {place[2]} take"
                if found.value_s is not None:
                    yield found.value_s, f"{answers} up to {seconds(found.value_s)}"
                else:
                    yield 0.0, f"what {answers} is not known: {count(found.needs_calls or 1)} more of its streams are needed"

    @cached_property
    def _token_rows(self) -> dict[tuple[str, str | None, str], pl.DataFrame]:
        """The calls whose tokens are known, of each hop, route and model whose max_tokens the config knows."""
        limited = [name for name, model in self.observed.config.models.items() if model.max_tokens]
        if not limited:
            return {}
        keys = ("hop", "route", "model")
        rows = token_rows(self.observed.calls.filter(pl.col("model").is_in(limited)), keys)
        return {
            (str(hop), route, str(model)): part for (hop, route, model), part in rows.partition_by(keys, as_dict=True).items()
        }

    def _floor(self, target: Target, below: Totals) -> list[tuple[float, str]]:
        """What the calls that this one makes need of it, and why: the most demanding, or nothing."""
        needs = []
        for link in self.links:
            item = below.get((link.child, target.model)) or below.get((link.child, None))
            if link.parent == (target.hop, target.route) and item is not None and item.wanted is not None:
                needs.append(self._need(link, target, float(item.wanted)))
        return [max(needs)] if needs else []

    def _need(self, link: Link, target: Target, child_s: float) -> tuple[float, str]:
        config = self.observed.config
        budget = config.false_timeout_ratio(target.hop)
        needed_s, own_s = link.needs_s(child_s, target.model, 1.0 - budget, config.objectives.confidence)
        times = f" x {link.attempts} attempts" if link.attempts > 1 else ""
        waits = f"it waits up to {seconds(child_s)}{times} for {Target(*link.child)}"
        return needed_s, f"{waits} and spends up to {seconds(own_s)} beside it: {seconds(needed_s)}"

    # Common

    def _targets(self, tables: Tables, place: HopRoute) -> list[Target]:
        """The route for all models, then each model where they differ beyond noise."""
        models = tables.models(*place)
        by_model = {model: tables.of(*place, model) for model in models}
        config = self.observed.config
        shares = (1.0 - config.false_timeout_ratio(place[0]), *DIFFER_AT)
        apart = len(models) > 1 and differ(by_model, shares, config.objectives.confidence)
        return [Target(*place), *(Target(*place, model) for model in models if apart)]

    def _timer(self, setting: str, target: Target, tables: Tables) -> Timer:
        config = self.observed.config
        whole = config.false_timeout_ratio(target.hop)
        clocks = self._clocks((target.hop, target.route))
        shared = config.objectives.budget_per == "call"
        at = (target.hop, target.route, target.model)
        deadlines = [config.chain.deadline_s, config.hop(target.hop).deadline_s]
        return Timer(
            setting=setting,
            target=target,
            table=tables.careful(*at),
            calls=sum(tables.outcomes(*at).values()),
            timed_out=self.timers.cut_by(setting, target),
            own_cuts=self.timers.cut_here(setting, target) > 0,
            current=self.timers.current(setting, target),
            budget=config.timer_ratio(target.hop, clocks),
            together=_together(whole, clocks, shared=shared),
            confidence=config.objectives.confidence,
            window_s=self.observed.window_s,
            deadline_s=min((limit for limit in deadlines if limit is not None), default=None),
        )

    def _clocks(self, place: HopRoute) -> int:
        """How many timers of its proxy can cut a call here: the total's, for streams the idle timer's, that of one try."""
        streamed = place in self.observed.streamed and self._has_calls(self.observed.silences, place)
        return 1 + streamed + self._has_try_timer(Target(*place))

    @staticmethod
    def _has_calls(tables: Tables, place: HopRoute) -> bool:
        return tables.of(*place).calls > 0


def _together(whole: float, clocks: int, *, shared: bool) -> str:
    """What the timers of a call may cut together, as the end of a sentence; "" where there is one."""
    if clocks == 1:
        return ""
    if shared:
        return f"; it has one of {clocks} parts of the {share(whole)} that all timers of a call may cut"
    return f"; the {clocks} timers that can cut such a call may cut {share(clocks * whole)} together"


def _wait_for(explored: Target, item: Recommendation) -> Recommendation:
    """A timer that would be set or tightened, put off while a hop below is explored: what was hidden there is still to come."""
    tightens = item.proposed and (item.current is None or float(item.proposed.value) < float(item.current.value))
    if item.status not in ("change", "not_expressible") or not tightens:
        return item
    reason = (
        f"{item.reason}; but {explored} is explored now, and what its timer hid will lengthen this: run again under the new one"
    )
    return replace(item, status="not_identifiable", proposed=None, reason=reason, effect={})


RECOMMENDER: Final = TimeoutRecommender()
