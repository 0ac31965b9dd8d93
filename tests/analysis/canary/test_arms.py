"""Which calls are compared."""

import polars as pl
import pytest

from meshslo.analysis.canary import parse_arms, select_arms
from meshslo.telemetry.errors import BadInputError
from tests.support.calls import make_call, make_calls

CALLS = make_calls(
    [
        make_call(version=version, vantage=vantage, model=model, first_token_s=0.1 if vantage == "server" else None)
        for version in ("v1", "v2")
        for vantage in ("client", "proxy_in", "server")
        for model in ("small", "large")
    ]
)


def test_a_version_is_the_callees_as_its_own_side_saw_it() -> None:
    """The caller's SDK names the caller's version."""
    sides = select_arms(CALLS.lazy(), parse_arms("v1", "v2"))
    assert set(sides["vantage"]) == {"server"}
    assert sides.group_by("is_candidate").len().sort("is_candidate")["len"].to_list() == [2, 2]


def test_other_columns_are_anybodys() -> None:
    sides = select_arms(CALLS.lazy(), parse_arms("model=small", "model=large"))
    assert set(sides["vantage"]) == {"server"}
    unseen = CALLS.filter(pl.col("vantage") != "server")
    assert set(select_arms(unseen.lazy(), parse_arms("model=small", "model=large"))["vantage"]) == {"client"}


@pytest.mark.parametrize(
    ("baseline", "candidate", "sentence"),
    [
        ("v1", "v9", "no calls with version v9; there are v1, v2"),
        ("v1", "model=m", "differ in their column"),
        ("colour=red", "colour=blue", '"colour" is no column of words; there are .*version'),
        ("v1", "v1", "both"),
    ],
)
def test_what_is_no_comparison_is_said(baseline: str, candidate: str, sentence: str) -> None:
    with pytest.raises(BadInputError, match=sentence):
        select_arms(CALLS.lazy(), parse_arms(baseline, candidate))


def test_calls_without_versions_say_where_those_come_from() -> None:
    with pytest.raises(BadInputError, match=r"no callee's calls say their version \(for versions: service.version"):
        select_arms(CALLS.with_columns(version=pl.lit(None, dtype=pl.String)).lazy(), parse_arms("v1", "v2"))
