"""Client metrics of the GenAI semantic conventions, as callers of models export them; names and edges are the profile's."""

from typing import Final

from meshslo.telemetry.prometheus.profiles.genai import OUTCOMES, PROFILE

from . import Durations, Producer

_WHOLE, _FIRST = (each for each in PROFILE.histograms if each.fixed["reporter"] == "client")
_CALLS: Final = f"{_WHOLE.metric}_count"

PRODUCER = Producer(
    name="genai",
    calls=_CALLS,
    durations={
        "total": Durations(_WHOLE.metric, _WHOLE.edges),
        "first_token": Durations(_FIRST.metric, _FIRST.edges, is_seen_by_all=True),
    },
    labels={"caller": "service_name", "callee": "server_address", "model": "gen_ai_request_model", "tenant": "tenant_id"},
    by=("caller", "callee", "model"),
    vantages={"client": ""},
    outcomes=OUTCOMES,
    notes=(
        "The first token's histogram holds successful answers alone; streams and other calls are one in the whole duration.",
        "Which service calls is service_name here; where your exporter writes job, --label caller=job takes that.",
    ),
)
