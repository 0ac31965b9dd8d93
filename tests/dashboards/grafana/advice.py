"""A recommendations.json with one value of each setting that dashboards draw."""

import json
from typing import Any


def _item(setting: str, now: float, proposed: float, unit: str) -> dict[str, Any]:
    return {
        "kind": "timeout" if unit == "s" else "retry",
        "setting": setting,
        "code": "MS101",
        "target": {"hop": "gateway>generator", "route": "/v1/chat"},
        "current": {"value": now, "unit": unit, "from": "virtualservice.yaml:17"},
        "proposed": {"value": proposed, "unit": unit},
        "status": "change",
        "confidence": 0.95,
        "reason": "seen",
        "evidence": {"calls": 1000, "censored": 10, "window_s": 3600.0},
        "effect": {},
    }


ADVICE = json.dumps(
    {
        "schema": "meshslo.recommendations/1",
        "items": [
            _item("total_timeout", 3.0, 45.0, "s"),
            _item("first_token_timeout", 1.0, 2.5, "s"),
            _item("idle_gap_timeout", 1.0, 4.0, "s"),
            _item("per_try_timeout", 1.0, 2.0, "s"),
            _item("retry_budget_ratio", 0.2, 0.05, "ratio"),
        ],
    }
)
