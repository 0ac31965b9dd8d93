"""vLLM's own metrics, as the model server sees its requests; names and edges are those of the profile `vllm`."""

from typing import Final

from meshslo.telemetry.prometheus.profiles.vllm import PROFILE

from . import Durations, Producer

_CALLS: Final = PROFILE.counters[0]

PRODUCER = Producer(
    name="vllm",
    calls=_CALLS.metric,
    durations={each.phase: Durations(each.metric, each.edges, is_seen_by_all=True) for each in PROFILE.histograms},
    labels={"callee": "service", "model": "model_name"},
    by=("callee", "model"),
    vantages={"server": ""},
    outcomes=_CALLS.outcomes or PROFILE.outcomes,
    notes=(
        "vLLM does not know who calls it: objectives on every hop to it count the same requests.",
        "Aborted requests are in no duration, and mostly in no count: a tighter timeout in front makes all of it look better.",
        "Which server it is, is a label of the scrape configuration: service here; --label callee=job takes another.",
    ),
)
