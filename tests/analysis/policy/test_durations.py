import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.policy.durations import decimal_duration, parse_duration_s, round_up, whole_duration
from meshslo.telemetry.errors import BadInputError

REASONABLE_S = st.floats(min_value=0.001, max_value=5e6, allow_nan=False)


@given(REASONABLE_S)
def test_a_decimal_duration_reads_back_to_the_millisecond(value_s: float) -> None:
    text = decimal_duration(value_s)
    assert re.fullmatch(r"\d+(\.\d{1,3})?s", text)
    assert parse_duration_s(text) == pytest.approx(value_s, abs=0.00051)


@given(REASONABLE_S)
def test_a_whole_duration_is_one_number_one_unit_and_never_shorter(value_s: float) -> None:
    text = whole_duration(value_s)
    assert re.fullmatch(r"\d{1,5}(ms|s|m)", text)
    assert parse_duration_s(text) >= value_s - 0.00051


@given(st.floats(min_value=1e-6, max_value=1e9))
def test_rounding_up_never_undercuts_and_adds_at_most_a_tenth(value: float) -> None:
    assert value * (1 - 1e-9) <= round_up(value) <= value * 1.1 + 1e-12
    assert round_up(round_up(value)) == round_up(value)


@pytest.mark.parametrize("text", ["", "5", "1,5s", "s", "-1s", "1s ", "infinity"])
def test_what_is_no_duration_is_named(text: str) -> None:
    with pytest.raises(BadInputError, match=re.escape(f'"{text}" is no duration')):
        parse_duration_s(text)


@pytest.mark.parametrize("value_s", [0.0, -1.0, float("inf"), float("nan")])
def test_no_timeout_is_not_written_as_zero(value_s: float) -> None:
    with pytest.raises(BadInputError, match="leave the setting out"):
        decimal_duration(value_s)
