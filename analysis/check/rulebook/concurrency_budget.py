"""MS219: a retry budget that is a share of active calls, on streams."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from meshslo.analysis.check.rule import Hit, Rule, Subject
from meshslo.analysis.recommend.words import seconds

LONG_S: Final = 10.0
"""With calls of this mean, a share of the active ones is some ten times that share of the calls a second."""


def _find(subject: Subject) -> Iterator[Hit]:
    """Each budget without an interval: those with one are rates, and are read with a floor a second."""
    for cluster in subject.deployed.clusters:
        ratio = cluster.settings.get("retry_budget_ratio")
        if ratio is None or "retry_budget_min_per_s" in cluster.settings:
            continue
        mean_s = _mean_s(subject, cluster.callee)
        if mean_s is None:
            message = f"the budget of {cluster.callee} is a share of calls in progress: with long streams it hardly ever binds"
            yield Hit(ratio.source, message, severity="info")
        elif mean_s > LONG_S:
            message = (
                f"the budget of {cluster.callee} is a share of calls in progress, which last {seconds(mean_s)} on average: it "
                f"admits as many retries a second as a rate budget of {float(ratio.value) * mean_s * 100:.0f} % over one second"
            )
            yield Hit(ratio.source, message, confirmed=True)


def _mean_s(subject: Subject, callee: str) -> float | None:
    """Mean duration of finished calls; None where none was seen."""
    if subject.observed is None or not subject.hops_to(callee):
        return None
    seen = pl.col("hop").is_in(subject.hops_to(callee)) & pl.col("duration_s").is_not_null()
    mean = subject.observed.calls.filter(seen).select(pl.col("duration_s").mean()).collect().item()
    return None if mean is None else float(mean)


RULE = Rule(
    code="MS219",
    name="concurrency-budget",
    severity="warning",
    finds="A retry budget without an interval: Envoy counts calls in progress then. A warning where calls last more than 10 "
    "s on average, for information without a store.",
    why="By Little's law a share of the calls in progress is that share of the calls a second times their duration: 20 % of "
    "many long streams bounds nothing.",
    instead="`budgetInterval` (Istio 1.31, Envoy 1.40), or a percentage divided by the mean duration in seconds",
    evidence="upstream/resource_manager_impl.h in Envoy: the limit is a share of active and pending requests where the "
    "interval is 0.",
    find=_find,
)
