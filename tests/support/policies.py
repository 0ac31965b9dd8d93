"""Recommendations with given values, for emitters."""

from meshslo.analysis.policy.settings import SAFE_CONDITIONS, SETTINGS
from meshslo.analysis.recommend.recommendation import (
    Current,
    Evidence,
    Proposed,
    Recommendation,
    Recommendations,
    Target,
    Value,
)

EVIDENCE = Evidence(calls=12345, censored=200, window_s=86400.0, estimate=41.2, low=39.8, high=44.7)


def wanted(setting: str, value: Value, *, route: str | None = "/v1/chat", model: str | None = None) -> Recommendation:
    """A change of gateway>generator to `value`; a timeout is 3 s now."""
    known = SETTINGS[setting]
    return Recommendation(
        kind=known.kind,
        setting=setting,
        code=known.code,
        target=Target("gateway>generator", route, model),
        current=Current(3.0, "s", "virtualservice.yaml:17") if known.kind == "timeout" else None,
        proposed=Proposed(value, known.unit),
        status="change",
        confidence=0.95,
        reason="99.9 % of calls end within 41.2 s, at most 44.7 s with 95 % confidence (12,345 calls, 200 of them cut)",
        evidence=EVIDENCE,
        effect={},
    )


def timeout(
    value_s: float, *, setting: str = "total_timeout", route: str | None = "/v1/chat", model: str | None = None
) -> Recommendation:
    """A timeout of gateway>generator."""
    return wanted(setting, value_s, route=route, model=model)


def retries(attempts: int) -> list[Recommendation]:
    """Safe retries with a budget, or none."""
    if attempts == 0:
        return [wanted("retry_attempts", 0)]
    values: dict[str, Value] = {
        "retry_attempts": attempts,
        "retry_on": ",".join(SAFE_CONDITIONS),
        "retry_budget_ratio": 0.017,
        "retry_budget_min_per_s": 0.1,
    }
    return [wanted(setting, value) for setting, value in values.items()]


def advice_of(*items: Recommendation) -> Recommendations:
    """Them all."""
    return Recommendations(items=items)
