"""OpenSLO in and out: what is written reads back as it was, and what cannot be kept is refused with its place."""

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.slo.objective import Objective
from meshslo.analysis.slo.openslo import parse_openslo, to_openslo
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import PHASES, VANTAGES

FOREIGN = """\
apiVersion: openslo/v1
kind: SLI
metadata:
  name: first-token
spec:
  thresholdMetric:
    metricSource:
      type: meshslo
      spec: {hop: gateway>generator, sli: first_token, model: m}
---
apiVersion: openslo/v1
kind: SLO
metadata:
  name: chat
spec:
  service: generator
  indicatorRef: first-token
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - {op: lte, value: 2, target: 0.95}
    - {op: lt, value: 5.5, targetPercent: 99.9}
"""

words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), min_size=1, max_size=12)


@st.composite
def objectives(draw: st.DrawFn) -> Objective:
    sli = draw(st.sampled_from([*PHASES, "success"]))
    return Objective(
        name=draw(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)),
        hop=draw(st.sampled_from(["gateway>generator", "ingress>gateway"])),
        route=draw(st.none() | words),
        model=draw(st.none() | words),
        tenant=draw(st.none() | words),
        sli=sli,
        threshold_s=None if sli == "success" else draw(st.floats(0.001, 600.0)),
        target=draw(st.floats(0.5, 0.99999)),
        window=draw(st.sampled_from(["1d", "4w", "30d"])),
        vantage=draw(st.none() | st.sampled_from(VANTAGES)),
    )


@given(objectives())
def test_what_is_written_reads_back_as_it_was(objective: Objective) -> None:
    assert parse_openslo(to_openslo([objective]), "x.yaml") == (objective,)


def test_goodput_keeps_what_it_is_made_of() -> None:
    common: dict[str, Any] = {"hop": "a>b", "target": 0.9}
    pair = (
        Objective(name="works", sli="success", **common),
        Objective(name="good", sli="goodput", all_of=("works",), **common),
    )
    assert parse_openslo(to_openslo(pair), "x.yaml") == pair


def test_documents_have_the_fields_that_openslo_requires() -> None:
    text = to_openslo([Objective(name="fast", hop="a>b", sli="total", threshold_s=2.5, target=0.99)])
    document = yaml.safe_load(text)
    assert (document["apiVersion"], document["kind"]) == ("openslo/v1", "SLO")
    assert document["spec"]["budgetingMethod"] == "Occurrences"
    assert document["spec"]["timeWindow"] == [{"duration": "30d", "isRolling": True}]
    assert document["spec"]["objectives"] == [{"op": "lte", "value": 2.5, "target": 0.99}]
    assert len(document["spec"]["description"]) <= 1050


def test_an_sli_by_reference_and_several_objectives() -> None:
    one, two = parse_openslo(FOREIGN, "chat.yaml")
    assert (one.name, one.sli, one.model, one.threshold_s, one.target) == ("chat-1", "first_token", "m", 2.0, 0.95)
    assert (two.name, two.window, two.threshold_s, two.target) == ("chat-2", "4w", 5.5, 0.999)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("openslo/v1\nkind: SLO", "openslo/v2alpha\nkind: SLO", "x.yaml:11: apiVersion is not openslo/v1"),
        ("Occurrences", "Timeslices", "x.yaml:21: budgetingMethod: Timeslices is not counted"),
        ("isRolling: true", "calendar: {timeZone: UTC}", "x.yaml:18: timeWindow: one rolling window"),
        ("type: meshslo", "type: Prometheus", "its metric source is Prometheus"),
        ("indicatorRef: first-token", "indicatorRef: other", 'x.yaml:17: indicatorRef: no SLI "other"'),
        ("op: lte", "op: gte", "x.yaml:23: op: gte is not lte or lt"),
        ("value: 2,", "value: two,", "'two' is no number of seconds"),
        ("target: 0.95", "share: 0.95", "has target or targetPercent"),
        ("target: 0.95", "target: 95", 'SLO "chat": target'),
        ("duration: 4w", "duration: 1M", "no window of an objective"),
        ("target: 0.95", "target: 0.9999", "is never missed while"),
        ("kind: SLO", "kind: Slo", "x.yaml:12: Slo is none of"),
        ("sli: first_token", "slis: first_token", 'SLO "chat": '),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_place(old: str, new: str, sentence: str) -> None:
    text = FOREIGN.replace(old, new, 1)
    assert text != FOREIGN
    with pytest.raises(BadInputError, match=re.escape(sentence)):
        parse_openslo(text, "x.yaml")


def test_a_text_without_slo_is_said() -> None:
    with pytest.raises(BadInputError, match="holds no document of kind SLO"):
        parse_openslo("", "x.yaml")
