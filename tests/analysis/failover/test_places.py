"""Which place answered."""

import polars as pl
import pytest

from meshslo.analysis.failover.places import Places, find_places
from tests.support.calls import make_call, make_calls
from tests.support.places import placed_calls


def places(calls: pl.DataFrame, *wanted: str) -> Places:
    found = find_places(calls.lazy(), "gateway", "generator", wanted)
    assert found is not None
    return found


@pytest.mark.parametrize("by", ["cluster", "provider"])
def test_the_place_with_most_calls_comes_first(by: str) -> None:
    found = places(placed_calls(100, by=by))
    assert (found.by, found.names) == (by, ("east", "west"))
    assert len(found.of("east")) > len(found.of("west")) > 0
    assert len(found.of("east")) + len(found.of("west")) == 100


def test_who_is_named_comes_in_the_order_of_the_names() -> None:
    assert places(placed_calls(100), "west", "east").names == ("west", "east")
    assert places(placed_calls(100), "east", "moon").names == ("east", "moon")
    assert find_places(placed_calls(100).lazy(), "gateway", "generator", ("sun", "moon")) is None


def test_endpoints_are_pods_of_clusters_and_hosts_of_providers() -> None:
    assert places(placed_calls(100, pods=3)).endpoints("east") == ["east/east-0", "east/east-1", "east/east-2"]
    assert places(placed_calls(100, by="provider")).endpoints("east") == ["east"]
    hosts = placed_calls(100, by="provider").with_columns(peer=pl.lit("api.example.com"))
    assert places(hosts).endpoints("east") == ["east/api.example.com"]


def test_another_models_provider_is_no_stand_in_unless_it_is_named() -> None:
    calls = placed_calls(100, by="provider", models=("m", "n"))
    assert places(calls).names == ("east",)
    assert places(calls, "east", "west").names == ("east", "west")


def test_providers_that_are_callees_stand_in_for_each_other_where_they_are_named() -> None:
    calls = make_calls([make_call(vantage="client", callee=name) for name in ("openai", "openai", "azure", "search")])
    found = find_places(calls.lazy(), "gateway", "openai", ("openai", "azure"))
    assert found is not None
    assert (found.by, found.names, sorted(found.calls["place"])) == (
        "provider",
        ("openai", "azure"),
        ["azure", "openai", "openai"],
    )


def test_a_call_is_counted_once_however_many_saw_it() -> None:
    calls = placed_calls(50)
    twice = pl.concat([calls, calls.with_columns(vantage=pl.lit("proxy_in"), pod=pl.lit("east-0"))])
    assert len(places(twice).calls) == 50


def test_failures_that_reached_nobody_are_counted_apart_for_clusters_and_against_a_provider() -> None:
    calls = placed_calls(50)
    lost = make_calls(
        [
            make_call(vantage="proxy_out", outcome="rejected", status_code=503, response_flags="UF", duration_s=1.0)
            for _ in range(4)
        ]
    )
    assert places(pl.concat([calls, lost])).unplaced == 4
    named = lost.with_columns(provider=pl.lit("east"))
    assert places(named).calls["outcome"].to_list() == ["error"] * 4
    refused = named.with_columns(response_flags=pl.lit("UO"))
    assert places(refused).calls["outcome"].to_list() == ["rejected"] * 4
