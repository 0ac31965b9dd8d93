"""The laws of every recommender."""

from functools import cache

import polars as pl
import pytest

from meshslo.analysis.emit import emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend import (
    Observed,
    Recommendations,
    Recommender,
    observe,
    parse_recommendations,
    recommend,
    recommenders,
)
from meshslo.telemetry.errors import BadInputError
from tests.support.scenes import CONFIG, chain_calls

CALLS = chain_calls(cap_s=3.0)

pytestmark = pytest.mark.parametrize("recommender", recommenders(), ids=lambda each: each.kind)


def answers(recommender: Recommender, calls: pl.DataFrame) -> Recommendations:
    return Recommendations(items=tuple(recommender.recommend(observe(calls.lazy(), CONFIG))))


@cache
def observed() -> Observed:
    return observe(CALLS.lazy(), CONFIG)


@cache
def found(recommender: Recommender) -> Recommendations:
    """Its answers for `CALLS`, as all recommenders look at the same evidence."""
    return Recommendations(items=tuple(recommender.recommend(observed())))


def test_it_says_what_it_is(recommender: Recommender) -> None:
    for item in found(recommender).items:
        setting = SETTINGS[item.setting]
        assert (item.kind, item.code) == (setting.kind, setting.code)
        assert item.kind == recommender.kind
        assert item.proposed is None or item.proposed.unit == setting.unit


def test_the_same_calls_give_the_same_answers(recommender: Recommender) -> None:
    assert answers(recommender, CALLS) == found(recommender)


def test_the_order_of_calls_changes_nothing(recommender: Recommender) -> None:
    shuffled = CALLS.sample(fraction=1.0, shuffle=True, seed=3)
    assert answers(recommender, shuffled) == found(recommender)


def test_nothing_it_is_given_is_changed(recommender: Recommender) -> None:
    before = CALLS.hash_rows().sum()
    recommender.recommend(observed())
    assert CALLS.hash_rows().sum() == before


def test_too_few_calls_are_no_number(recommender: Recommender) -> None:
    few = answers(recommender, chain_calls(6))
    assert few.items
    for item in few.items:
        assert (item.status, item.proposed) == ("not_identifiable", None), item
        assert "more" in item.reason


def test_no_calls_are_no_answer(recommender: Recommender) -> None:
    assert answers(recommender, CALLS.clear()).items == ()


def test_answers_survive_json(recommender: Recommender) -> None:
    assert parse_recommendations(found(recommender).to_json()) == found(recommender)


def test_every_value_has_its_evidence(recommender: Recommender) -> None:
    for item in found(recommender).items:
        assert item.reason
        assert item.evidence.calls > 0
        assert item.evidence.window_s > 0
        if item.status == "not_identifiable":
            assert item.proposed is None


@cache
def observed_again() -> Observed:
    """Calls that nothing cut, with all that was recommended for them deployed."""
    calls = chain_calls(cap_s=None)
    first = recommend(observe(calls.lazy(), CONFIG))
    manifests = {document.path: document.text for document in emit("envoy", first).documents}
    return observe(calls.lazy(), CONFIG, read_deployed(manifests))


def test_what_it_asked_for_it_keeps(recommender: Recommender) -> None:
    """With its own values deployed nothing is to be changed: no value moves inside the noise."""
    moved = [item for item in recommender.recommend(observed_again()) if item.status in ("change", "explore")]
    assert not moved


def test_a_kind_goes_by_one_name_or_many(recommender: Recommender) -> None:
    assert recommend(observed(), [recommender.plural]) == recommend(observed(), [recommender.kind])
    with pytest.raises(BadInputError, match=r"no recommendations of kind wishes; there are .*retries, timeouts"):
        recommend(observed(), ["wishes"])
