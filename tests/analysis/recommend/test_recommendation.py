import json

import pytest

from meshslo.analysis.recommend import parse_recommendations
from meshslo.analysis.recommend.recommendation import (
    Current,
    Effect,
    Evidence,
    Proposed,
    Recommendation,
    Recommendations,
    Target,
)
from meshslo.telemetry.errors import BadInputError

ITEM = Recommendation(
    kind="timeout",
    setting="total_timeout",
    code="MS103",
    target=Target("gateway>generator", "/v1/chat", "m"),
    current=Current(3.0, "s", "virtualservice.yaml:17"),
    proposed=Proposed(45.0, "s"),
    status="change",
    confidence=0.95,
    reason="99.9 % of calls end within 41.2 s",
    evidence=Evidence(12345, 200, 86400.0, 41.2, 39.8, 44.7),
    effect={"false_timeout_rate": Effect(before=0.016, after=0.0008)},
)


def test_the_json_is_what_scripts_rely_on() -> None:
    read = json.loads(Recommendations(items=(ITEM,)).to_json())
    assert read["schema"] == "meshslo.recommendations/1"
    (item,) = read["items"]
    assert item["target"] == {"hop": "gateway>generator", "route": "/v1/chat", "model": "m"}
    assert item["current"] == {"value": 3.0, "unit": "s", "from": "virtualservice.yaml:17"}
    assert item["proposed"] == {"value": 45.0, "unit": "s"}
    assert item["evidence"] == {
        "calls": 12345, "censored": 200, "window_s": 86400.0, "estimate": 41.2, "low": 39.8, "high": 44.7,
    }  # fmt: skip
    assert item["effect"]["false_timeout_rate"] | {"before": 0.016, "after": 0.0008} == item["effect"]["false_timeout_rate"]
    assert {"kind", "setting", "status", "confidence", "reason"} <= set(item)


def test_json_reads_back_the_same() -> None:
    written = Recommendations(items=(ITEM,))
    assert parse_recommendations(written.to_json()) == written


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "holds no recommendations: the top: Invalid JSON"),
        ('{"schema": "meshslo.recommendations/2", "items": []}', 'says schema "meshslo.recommendations/2"'),
        ('{"items": [{"kind": "timeout"}]}', "items.0.setting: Field required"),
        ('{"item": []}', "item: Unexpected keyword argument"),
    ],
)
def test_what_is_no_recommendation_is_named(text: str, sentence: str) -> None:
    with pytest.raises(BadInputError) as raised:
        parse_recommendations(text, name="r.json")
    assert sentence in str(raised.value)
    assert str(raised.value).startswith("r.json")


def test_frames_and_pandas_hold_a_row_each() -> None:
    frame = Recommendations(items=(ITEM, ITEM)).frame
    assert frame.select("hop", "model", "current", "proposed", "calls").row(0) == (
        "gateway>generator",
        "m",
        "3.0",
        "45.0",
        12345,
    )
    assert len(Recommendations(items=(ITEM,)).to_pandas()) == 1


def test_an_answer_takes_the_place_of_the_one_it_answers() -> None:
    from dataclasses import replace

    other = replace(ITEM, setting="idle_gap_timeout")
    answered = Recommendations(items=(ITEM, other)).with_answers([replace(other, status="not_expressible")])
    assert [item.status for item in answered.items] == ["change", "not_expressible"]
