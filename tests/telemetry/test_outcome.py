"""Which status or flag means which outcome."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.telemetry.outcome import FLAG_OUTCOMES, outcome_of_flags, outcome_of_status
from meshslo.telemetry.vocabulary import OUTCOMES


@pytest.mark.parametrize("flag", ["UT", "SI", "UMSDR", "DC", "UC", "UR", "UO"])
def test_a_flag_that_names_an_end_is_never_ok(flag: str) -> None:
    assert outcome_of_flags(flag) not in (None, "ok")


def test_no_flag_leaves_the_decision_to_the_status() -> None:
    assert [outcome_of_flags(flags) for flags in (None, "", "-", "URX", "DI")] == [None] * 5


def test_a_timer_beats_what_it_caused() -> None:
    assert outcome_of_flags("DC,UT") == "timeout"
    assert outcome_of_flags("UC,UF") == "rejected"


@given(st.lists(st.sampled_from(sorted(FLAG_OUTCOMES)), min_size=1))
def test_the_order_of_flags_does_not_matter(flags: list[str]) -> None:
    assert outcome_of_flags(",".join(flags)) == outcome_of_flags(",".join(reversed(flags)))


@given(st.integers(0, 999), st.one_of(st.none(), st.integers(0, 16)))
def test_every_status_has_an_outcome_of_the_vocabulary(status_code: int, grpc_status: int | None) -> None:
    assert outcome_of_status(status_code, grpc_status) in (*OUTCOMES, None)


def test_a_grpc_failure_behind_http_200_is_a_failure() -> None:
    assert outcome_of_status(200, 13) == "error"
    assert outcome_of_status(200, 4) == "timeout"
