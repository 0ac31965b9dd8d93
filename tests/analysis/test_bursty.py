import numpy as np
import polars as pl

from meshslo.analysis.api import from_calls
from tests.support.scenes import plain_calls


def paced(spread: float, minutes: int = 60) -> pl.DataFrame:
    """Calls a second apart; each minute is slow or fast as a whole."""
    rng = np.random.default_rng(1)
    pace = np.repeat(np.exp(rng.normal(0.0, spread, minutes)), 60)
    return plain_calls(pace * rng.lognormal(0.0, 0.5, 60 * minutes))


def findings(calls: pl.DataFrame) -> list[str]:
    return [finding.message for finding in from_calls(calls).doctor().findings if finding.code == "MS916"]


def test_calls_that_hang_together_by_the_minute_are_noted() -> None:
    (message,) = findings(paced(0.5))
    assert message.startswith("its 3,600 calls seen by client hang together")
    assert "times as wide" in message


def test_independent_calls_are_not() -> None:
    assert findings(paced(0.0)) == []


def test_few_minutes_say_nothing() -> None:
    assert findings(paced(0.5, minutes=10)) == []
