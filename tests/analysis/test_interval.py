"""The short cuts agree with SciPy's distributions."""

import numpy as np
import pytest
from scipy.stats import beta, binom

from meshslo.analysis.interval import binomial_quantile, proportion

RNG = np.random.default_rng(5)
N = RNG.integers(0, 200_000, 3000)
SHARE = RNG.uniform(0.0, 1.0, 3000)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.95, 0.99, 0.999, 0.9999])
def test_the_binomial_quantile_is_scipys(p: float) -> None:
    assert (binomial_quantile(SHARE, N, p) == binom.ppf(SHARE, N, p)).all()


@pytest.mark.parametrize("n", [1, 2, 299, 368])
def test_the_least_number_of_hits_is_the_least(n: int) -> None:
    found = binomial_quantile(0.975, n, 0.99)
    assert binom.cdf(found, n, 0.99) >= 0.975
    assert found == 0 or binom.cdf(found - 1, n, 0.99) < 0.975


def test_limits_of_a_share_are_clopper_and_pearsons() -> None:
    hits = np.floor(SHARE * (N + 1))
    low, high = proportion(hits, N + 1.0, 0.95)
    some, few = hits > 0, hits < N + 1
    assert np.allclose(low[some], beta.ppf(0.025, hits[some], N[some] - hits[some] + 2.0), rtol=1e-6)
    assert np.allclose(high[few], beta.ppf(0.975, hits[few] + 1.0, N[few] + 1.0 - hits[few]), rtol=1e-6)
    assert (low[~some] == 0).all()
