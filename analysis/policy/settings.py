"""The one table of setting names: what each bounds, in which unit, and which phase of a call it is learned from.

Recommenders propose these settings, readers of manifests find them, emitters write them into a mesh's own fields.
"""

from dataclasses import dataclass
from typing import Final, Literal

from meshslo.telemetry.vocabulary import Phase

Unit = Literal["s", "1", "conditions", "ratio", "per_s"]
"""Seconds; a count; a comma list of retry conditions; a share from 0 to 1; a rate."""

UNIT_SUFFIX: Final[dict[Unit, str]] = {"s": " s", "1": "", "conditions": "", "ratio": "", "per_s": "/s"}


@dataclass(frozen=True)
class Setting:
    """A quantity that a mesh enforces: its name, unit, code for people's suppressions, and what it means."""

    name: str
    kind: Literal["timeout", "retry"]
    unit: Unit
    code: str
    meaning: str
    phase: Phase | None = None


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
    Setting("retry_attempts", "retry", "1", "MS201", "how often a failed call is repeated; 0 is never"),
    Setting("retry_on", "retry", "conditions", "MS202", "failures after which a repetition is safe"),
    Setting("retry_budget_ratio", "retry", "ratio", "MS203", "retries as a share of calls, over a window"),
    Setting(
        "retry_budget_min_per_s", "retry", "per_s", "MS204", "retries a second that are allowed however few calls there are"
    ),
)

SETTINGS: Final[dict[str, Setting]] = {setting.name: setting for setting in _ALL}
"""Every setting by its name."""

SAFE_CONDITIONS: Final = ("connect-failure", "refused-stream", "reset-before-request")
"""Envoy's retry conditions after which the callee has not seen the request. Source: Envoy, router filter, x-envoy-retry-on."""

IDEMPOTENT_CONDITIONS: Final = (*SAFE_CONDITIONS, "reset")
"""With `reset` added: the callee may have begun, so only for routes whose repetition does no harm."""
