"""MS114: a total timeout below what calls take."""

from collections.abc import Iterator

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.check.shown import beyond
from meshslo.analysis.recommend.current import Timers


def _find(subject: Subject) -> Iterator[Hit]:
    """Each such timer; one that has cut calls already is MS113's."""
    if subject.observed is None:
        return
    timers = Timers(subject.observed)
    for found in beyond(subject, subject.observed, "total_timeout", subject.observed.tables("total")):
        if not timers.cut_here("total_timeout", found.target):
            yield Hit(found.placed.source, f"this timeout would cut healthy calls: {found.sentence}", confirmed=True)


RULE = Rule(
    code="MS114",
    name="total-below-tail",
    severity="error",
    finds="A total timeout that surely more calls outlast than the false-timeout budget allows, cut calls counted as longer "
    "than they were seen. Needs a store.",
    why="It cuts healthy answers, and percentiles of the survivors hide it: their histogram ends at the timeout.",
    instead="the value that `meshslo recommend timeouts` justifies",
    evidence="nicolerenee/infra#2078; upstream_rq_time in Envoy leaves out every request that timed out.",
    find=_find,
    needs_calls=True,
)
