"""The one table of setting names: what each bounds, in which unit, and which phase of a call it is learned from.

Recommenders propose these settings, readers of manifests find them, emitters write them into a mesh's own fields.
"""

from dataclasses import dataclass
from typing import Final, Literal

from meshslo.telemetry.vocabulary import Phase

Unit = Literal["s", "1", "conditions", "ratio", "per_s", "percent", "names"]
"""Seconds; a count; a comma list of retry conditions; a share from 0 to 1; a rate; a whole number of 100; a comma list."""

UNIT_SUFFIX: Final[dict[Unit, str]] = {
    "s": " s",
    "1": "",
    "conditions": "",
    "ratio": "",
    "per_s": "/s",
    "percent": " %",
    "names": "",
}

Kind = Literal["timeout", "connect", "retry", "breaker", "outlier", "locality", "failover", "hedge", "identity", "egress"]
"""What a setting is part of: one recommender each."""


@dataclass(frozen=True)
class Setting:
    """A quantity that a mesh enforces: its name, unit, code for people's suppressions, and what it means."""

    name: str
    kind: Kind
    unit: Unit
    code: str
    meaning: str
    phase: Phase | None = None
    of_callee: bool = False
    """Whether meshes keep it for a callee, whatever the route."""


_ALL = (
    Setting(
        "first_token_timeout",
        "timeout",
        "s",
        "MS101",
        "longest wait for the first chunk with content, from the start of the call",
        "first_token",
    ),
    Setting(
        "idle_gap_timeout",
        "timeout",
        "s",
        "MS102",
        "longest silence a timer may see: before the headers, from headers to first token, and between chunks",
        "max_gap",
    ),
    Setting("total_timeout", "timeout", "s", "MS103", "the whole call, all its attempts and its last chunk included", "total"),
    Setting("per_try_timeout", "timeout", "s", "MS104", "response headers of one attempt", "first_byte"),
    Setting("connect_timeout", "connect", "s", "MS105", "reaching a pod: TCP and TLS handshakes", of_callee=True),
    Setting("retry_attempts", "retry", "1", "MS201", "how often a failed call is repeated; 0 is never"),
    Setting("retry_on", "retry", "conditions", "MS202", "failures after which a repetition is safe"),
    Setting("retry_budget_ratio", "retry", "ratio", "MS203", "retries as a share of calls, over a window", of_callee=True),
    Setting(
        "retry_budget_min_per_s",
        "retry",
        "per_s",
        "MS204",
        "retries a second that are allowed however few calls there are",
        of_callee=True,
    ),
    Setting("max_concurrent_requests", "breaker", "1", "MS301", "calls in progress through one client proxy", of_callee=True),
    Setting("max_pending", "breaker", "1", "MS302", "calls that wait for a connection in one client proxy", of_callee=True),
    Setting("max_connections", "breaker", "1", "MS303", "connections of one client proxy to the callee", of_callee=True),
    Setting("consecutive_5xx", "outlier", "1", "MS304", "answers of 5xx in a row after which a pod is ejected", of_callee=True),
    Setting(
        "consecutive_gateway_failures",
        "outlier",
        "1",
        "MS305",
        "answers of 502, 503 or 504, or none at all, in a row after which a pod is ejected",
        of_callee=True,
    ),
    Setting("interval", "outlier", "s", "MS306", "time between sweeps that let ejected pods back in", of_callee=True),
    Setting(
        "base_ejection_time", "outlier", "s", "MS307", "how long a pod is out the first time it is ejected", of_callee=True
    ),
    Setting("max_ejection_percent", "outlier", "percent", "MS308", "pods that may be out at a time, of 100", of_callee=True),
    Setting(
        "enforcing_success_rate",
        "outlier",
        "percent",
        "MS380",
        "pods that are ejected of those far below the mean share of good answers, of 100; 0 is off",
        of_callee=True,
    ),
    Setting(
        "success_rate_stdev_factor",
        "outlier",
        "1",
        "MS381",
        "standard deviations below the mean share of good answers from which on a pod is ejected, in thousandths",
        of_callee=True,
    ),
    Setting("success_rate_minimum_hosts", "outlier", "1", "MS382", "pods with answers enough to be compared", of_callee=True),
    Setting(
        "success_rate_request_volume",
        "outlier",
        "1",
        "MS383",
        "answers between two sweeps that a pod needs to be compared",
        of_callee=True,
    ),
    Setting(
        "failure_percentage_threshold",
        "outlier",
        "percent",
        "MS384",
        "failures of 100 answers between two sweeps for which a pod is ejected, whatever the others do",
        of_callee=True,
    ),
    Setting(
        "failure_percentage_minimum_hosts", "outlier", "1", "MS385", "pods with answers enough to be judged", of_callee=True
    ),
    Setting(
        "failure_percentage_request_volume",
        "outlier",
        "1",
        "MS386",
        "answers between two sweeps that a pod needs to be judged",
        of_callee=True,
    ),
    Setting("hedge_delay", "hedge", "s", "MS205", "after how long a second call is sent beside one that has not answered"),
    Setting(
        "locality_failover_priority", "locality", "names", "MS391", "labels whose pods come first, in order", of_callee=True
    ),
    Setting("locality_distribute", "locality", "names", "MS392", "per cent of each zone's calls to each zone", of_callee=True),
    Setting("failover_cluster", "failover", "names", "MS393", "clusters that answer, the preferred one first", of_callee=True),
    Setting(
        "failover_provider", "failover", "names", "MS394", "providers that answer, the preferred one first", of_callee=True
    ),
    Setting(
        "overprovisioning",
        "failover",
        "percent",
        "MS395",
        "calls a place keeps for each of 100 endpoints that are there, of 100: what it bears beyond its peak",
        of_callee=True,
    ),
    Setting("slow_pods", "outlier", "names", "MS309", "pods surely slower than the others with the same work", of_callee=True),
    Setting("mtls_strict", "identity", "names", "MS401", "whether callers must show a certificate: STRICT", of_callee=True),
    Setting("allowed_principals", "identity", "names", "MS402", "identities that may call a route"),
    Setting("allowed_methods", "identity", "names", "MS403", "methods that they may call it with"),
    Setting("allowed_egress_hosts", "egress", "names", "MS404", "hosts outside the mesh that a service may call"),
)

SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting in _ALL}
"""Every setting by its name."""

STRICT: Final = "STRICT"
"""The value of `mtls_strict` where callers must show a certificate."""

SAFE_CONDITIONS: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""Envoy's retry conditions after which the callee has not seen the request. Source: Envoy, router filter, x-envoy-retry-on."""

IDEMPOTENT_CONDITIONS: Final = (*SAFE_CONDITIONS, "reset")
"""With `reset` added: the callee may have begun, so only for routes whose repetition does no harm."""
