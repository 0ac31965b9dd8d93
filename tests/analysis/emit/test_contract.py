"""The laws of every emitter."""

import re

import pytest
import yaml

from meshslo.analysis.config import Config
from meshslo.analysis.emit import Emission, Emitter, emit, emitters
from meshslo.analysis.emit.plan import make_plan
from meshslo.analysis.recommend import Recommendations, observe, recommend
from meshslo.telemetry.errors import BadInputError
from tests.support.policies import timeout
from tests.support.scenes import CONFIG, chain_calls

pytestmark = pytest.mark.parametrize("emitter", emitters().values(), ids=lambda each: each.name)


@pytest.fixture(scope="module")
def advice() -> Recommendations:
    return recommend(observe(chain_calls(cap_s=3.0).lazy(), CONFIG))


def emitted(emitter: Emitter, advice: Recommendations, manifests: dict[str, str] | None = None) -> Emission:
    return emitter.emit(make_plan(advice, Config().emit, manifests or {}))


def texts(emission: Emission) -> dict[str, str]:
    return {document.path: document.text for document in emission.documents}


def test_every_callee_has_its_document(emitter: Emitter, advice: Recommendations) -> None:
    together = "".join(texts(emitted(emitter, advice)).values())
    for callee in ("gateway", "generator", "retriever"):
        assert f"name: {callee}" in together


def test_documents_are_yaml(emitter: Emitter, advice: Recommendations) -> None:
    for text in texts(emitted(emitter, advice)).values():
        assert all(isinstance(body, dict) for body in yaml.safe_load_all(text))


def test_the_order_of_recommendations_changes_nothing(emitter: Emitter, advice: Recommendations) -> None:
    backwards = Recommendations(items=tuple(reversed(advice.items)))
    assert texts(emitted(emitter, backwards)) == texts(emitted(emitter, advice))


def test_emitting_on_top_of_itself_changes_nothing(emitter: Emitter, advice: Recommendations) -> None:
    once = texts(emitted(emitter, advice))
    assert texts(emitted(emitter, advice, once)) == once


def test_the_evidence_stands_in_comments(emitter: Emitter, advice: Recommendations) -> None:
    text = texts(emitted(emitter, advice))["generator.yaml"]
    comments = [line for line in text.splitlines() if line.startswith("# meshslo: ")]
    assert any("total_timeout" in line and "max_tokens = 256" in line for line in comments)


def test_what_is_not_expressed_says_why(emitter: Emitter, advice: Recommendations) -> None:
    for item in emitted(emitter, advice).unexpressed:
        assert item.status == "not_expressible"
        original = next(o for o in advice.items if (o.setting, o.target) == (item.setting, item.target))
        assert len(item.reason) > len(original.reason) + 40


def test_routes_that_read_alike_are_told_apart(emitter: Emitter, advice: Recommendations) -> None:
    alike = Recommendations(items=(timeout(2.0, route="/a/b"), timeout(3.0, route="/a-b")))
    (document,) = emitted(emitter, alike).documents
    names = re.findall(r"name: (meshslo-generator-a-b\S*)", document.text)
    assert len(set(names)) == 2


def test_nothing_wanted_is_nothing_written(emitter: Emitter, advice: Recommendations) -> None:
    assert emitted(emitter, Recommendations()).documents == ()


def test_an_unknown_mesh_is_named(emitter: Emitter, advice: Recommendations) -> None:
    with pytest.raises(BadInputError, match=f'no emitter for "consul"; there are .*{emitter.name}'):
        emit("consul", advice)
