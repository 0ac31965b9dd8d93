from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.recommend import observe, recommend
from tests.support.crds import problems
from tests.support.golden import assert_golden
from tests.support.policies import advice_of, retries, timeout
from tests.support.scenes import CONFIG, chain_calls

GOLDEN = Path(__file__).parent / "golden"


def documents(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


def annotations(emission: Emission) -> list[dict[str, str]]:
    return [body["metadata"].get("annotations", {}) for body in documents(emission)]


@pytest.mark.parametrize("cap_s", [3.0, None])
def test_documents_pass_the_schema(cap_s: float | None) -> None:
    found = documents(emit("linkerd", recommend(observe(chain_calls(cap_s=cap_s).lazy(), CONFIG))))
    assert found
    for body in found:
        assert problems(body, "gateway-api") == []


def test_the_golden_pair() -> None:
    advice = advice_of(timeout(45.0), timeout(61.5, model="large"), timeout(1.5, setting="idle_gap_timeout"), *retries(1))
    assert_golden(GOLDEN / "linkerd", emit("linkerd", advice))


def test_durations_are_one_whole_number_and_one_unit() -> None:
    """Anything else Linkerd discards without a word, and then has no timeout at all."""
    found = annotations(emit("linkerd", advice_of(timeout(61.5), timeout(0.25, setting="idle_gap_timeout"))))
    assert found == [{"timeout.linkerd.io/request": "61500ms", "timeout.linkerd.io/idle": "250ms"}, {}]


def test_only_the_limit_is_set_so_that_nothing_begun_is_repeated() -> None:
    emission = emit("linkerd", advice_of(timeout(2.0), *retries(1)))
    assert annotations(emission)[0] == {"timeout.linkerd.io/request": "2s", "retry.linkerd.io/limit": "1"}
    assert {item.setting for item in emission.unexpressed} == {"retry_on", "retry_budget_ratio", "retry_budget_min_per_s"}


def test_no_retries_are_no_annotations() -> None:
    """ "0" would count as unset, and unset as 1."""
    assert "retry.linkerd.io/limit" not in annotations(emit("linkerd", advice_of(timeout(2.0), *retries(0))))[0]


def test_a_routes_of_others_is_named() -> None:
    (document,) = emit("linkerd", advice_of(timeout(2.0))).documents
    other = document.text.replace("meshslo-generator-v1-chat", "chat")
    (again,) = emit("linkerd", advice_of(timeout(2.0)), manifests={"r.yaml": other}).documents
    assert "# meshslo: HTTPRoute chat (r.yaml) is in use too" in again.text
