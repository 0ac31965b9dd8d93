"""What calls cost."""

import polars as pl
import pytest

from meshslo.analysis.config import parse_config
from meshslo.analysis.prices import token_cost
from meshslo.telemetry.errors import BadConfigError

MODELS = parse_config("[models.m]\ninput_price = 2.0\noutput_price = 10\n[models.free]\nmax_tokens = 3").models


def test_tokens_cost_what_their_model_does_and_nothing_is_guessed() -> None:
    calls = pl.DataFrame(
        {"model": ["m", "m", "free", None], "input_tokens": [1000, None, 5, 5], "output_tokens": [200, 5, 5, 5]}
    )
    assert calls.select(cost=token_cost(MODELS))["cost"].to_list() == [pytest.approx(0.004), None, None, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[prices]\ncrossing_per_call = -1", "crossing_per_call"),
        ("[prices.zones]\na = 1", "zones"),
        ('[hops."a>b"]\nfailover = ["x", "x"]', "names x twice"),
        ('[hops."a>b"]\nfailover = ["x"]', "failover"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, says: str) -> None:
    with pytest.raises(BadConfigError, match=says):
        parse_config(text)
