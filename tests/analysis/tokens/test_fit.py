"""The line through totals: the truth within its interval as often as it says, whatever a few calls do."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.analysis.tokens.fit import FEWEST, Fit, fit

TRUTH = np.array([0.4, 0.02, 0.0003])


def drawn(seed: int, n: int, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Totals, output and input tokens of calls on a line, each with a pace of its own."""
    rng = np.random.default_rng(seed)
    out, asked = np.ceil(rng.lognormal(5.0, 0.6, n)), np.ceil(rng.lognormal(6.5, 0.8, n))
    exact = TRUTH[0] + TRUTH[1] * out + TRUTH[2] * asked
    return exact + rng.standard_t(4, n) * noise, out, asked


def fitted(total: np.ndarray, out: np.ndarray, asked: np.ndarray, block: np.ndarray | None = None) -> Fit:
    found = fit(total, out, asked, np.ones(len(total)), np.arange(len(total)) if block is None else block)
    assert found is not None
    return found


def test_an_exact_line_is_found_exactly() -> None:
    _, out, asked = drawn(1, 200)
    found = fitted(TRUTH[0] + TRUTH[1] * out + TRUTH[2] * asked, out, asked)
    np.testing.assert_allclose(found.coefficients, TRUTH, rtol=1e-6)
    assert found.total_s(100, 1000).estimate == pytest.approx(0.4 + 2.0 + 0.3, rel=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1000.0))
def test_units_and_order_change_nothing(seed: int, unit: float) -> None:
    total, out, asked = drawn(seed, 300)
    plain, scaled = fitted(total, out, asked), fitted(total * unit, out, asked)
    np.testing.assert_allclose(scaled.coefficients, plain.coefficients * unit, rtol=1e-4, atol=1e-9 * unit)
    order = np.random.default_rng(seed).permutation(300)
    np.testing.assert_allclose(
        fitted(total[order], out[order], asked[order]).coefficients, plain.coefficients, rtol=1e-4, atol=1e-9
    )


def test_stalls_and_wrong_counts_do_not_bend_it() -> None:
    total, out, asked = drawn(2, 1000)
    clean = fitted(total, out, asked)
    total[:30] += 300.0  # three per cent stalled for five minutes
    out[30:35] = 1e7  # and five were counted wrong
    found = fitted(total, out, asked)
    assert found.coefficients[1] == pytest.approx(clean.coefficients[1], rel=0.05)
    naive = np.linalg.lstsq(np.stack([np.ones(1000), out, asked], axis=1), total, rcond=None)[0]
    assert abs(naive[1] - TRUTH[1]) > 0.9 * TRUTH[1]


def test_what_all_calls_have_alike_is_in_the_base() -> None:
    total, out, _ = drawn(3, 300)
    found = fitted(total, out, np.full(300, 512.0))
    assert found.coefficients[2] == 0.0
    assert found.coefficient(2).high == 0.0


def test_too_little_makes_no_line() -> None:
    total, out, asked = drawn(4, FEWEST - 1)
    assert fit(total, out, asked, np.ones(len(total)), np.arange(len(total))) is None
    total, _, asked = drawn(4, 100)
    assert fit(total, np.full(100, 7.0), asked, np.ones(100), np.arange(100)) is None


@pytest.mark.slow
@pytest.mark.no_cover
@pytest.mark.parametrize("bursty", [False, True])
def test_an_interval_holds_the_truth_as_often_as_it_says(bursty: bool) -> None:
    """400 samples; where minutes are slow as a whole, blocks of minutes keep it so."""
    held = []
    for seed in range(400):
        total, out, asked = drawn(seed, 1200)
        block = np.arange(1200) // 20
        if bursty:
            total = total + np.random.default_rng(seed + 10_000).normal(0.0, 0.3, 60)[block]
        line = fitted(total, out, asked, block)
        at = line.total_s(200, 900)
        held.append(at.low <= TRUTH @ [1.0, 200.0, 900.0] <= at.high)
    assert 0.93 <= np.mean(held) <= 0.97
