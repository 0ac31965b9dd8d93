"""MS511: so few traces that no tail can be told."""

from collections.abc import Iterator
from typing import Final

from meshslo.analysis.check.rule import Hit, Rule, Subject, each
from meshslo.analysis.policy.manifest import Manifest
from meshslo.analysis.policy.node import entries
from meshslo.analysis.quantile import calls_needed
from meshslo.analysis.recommend.words import count

ENOUGH_PERCENT: Final = 10.0


def _inspect(manifest: Manifest, subject: Subject) -> Iterator[Hit]:  # noqa: ARG001 - the contract's
    for tracing in entries(manifest.spec, "tracing"):
        sampled = manifest.amount(tracing, "randomSamplingPercentage", "percent_of_calls")
        if sampled is not None and 0 < float(sampled.value) < ENOUGH_PERCENT:
            needed = count(calls_needed(0.99) / float(sampled.value) * 100)
            yield Hit(sampled.source, f"at {sampled.value:g} % a p99 of one route and model takes {needed} calls")


RULE = Rule(
    code="MS511",
    name="sparse-sampling",
    severity="info",
    finds="A Telemetry resource that samples less than 10 % of traces.",
    why="A p99 needs 299 calls that were seen, a p99.9 2,995: of rare routes and models there will be none for days.",
    instead="more sampling for the routes of models, access logs or metrics beside it, or the weight of each sampled call",
    evidence="Order statistics: the smallest n with 0.99 ** n <= 0.05. telemetry.proto in istio/api.",
    find=each("telemetry.istio.io", "Telemetry", inspect=_inspect),
)
