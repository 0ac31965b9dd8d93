"""The /metrics of `meshslo collect`: the calls it has stored."""

from typing import Final

from meshslo.telemetry.prometheus.profile import Outcomes
from meshslo.telemetry.store.counted import EDGES_S, SECONDS_METRIC, counter_metric
from meshslo.telemetry.vocabulary import OUTCOMES, PHASES

from . import Durations, Producer, Retries

_BY: Final = ("hop", "route", "model")
_ON_THE_WAY: Final = ("first_byte", "first_token")

PRODUCER = Producer(
    name="meshslo",
    calls=counter_metric("calls"),
    durations={
        phase: Durations(SECONDS_METRIC, EDGES_S, match=(f'phase="{phase}"',), is_seen_by_all=phase in _ON_THE_WAY)
        for phase in PHASES
    },
    labels={key: key for key in ("hop", "route", "model", "tenant")},
    by=_BY,
    vantages={vantage: f'vantage="{vantage}"' for vantage in ("client", "proxy_out", "proxy_in", "server")},
    outcomes=Outcomes(words={"outcome": {outcome: outcome for outcome in OUTCOMES}}),
    retries=Retries(counter_metric("retries"), attempts=counter_metric("calls"), by=_BY),
    cut_streams=counter_metric("cut_streams"),
    notes=(
        "A call that was cut before its first token is in no histogram of first tokens: `meshslo slo` counts it as it is.",
        "A silence that a timer ended counts up to the last chunk alone, so that max_gap looks better here than it is.",
        "Beyond 500 combinations of labels the collector counts under __other__: rare tenants and models end there.",
    ),
)
