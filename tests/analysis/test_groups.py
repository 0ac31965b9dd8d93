"""Groups of rows are numbered as a sort would have them, whatever the words and however many."""

from datetime import UTC, datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis import groups
from meshslo.analysis.groups import numbered

MOMENTS = [datetime(2026, 11, day, tzinfo=UTC) for day in (1, 2, 30)]
SCHEMA = {"start": pl.Datetime("ns", "UTC"), "phase": pl.Enum(["b", "a"]), "hop": pl.String, "event": pl.Boolean}
rows_of = st.lists(
    st.tuples(
        st.none() | st.sampled_from(MOMENTS), st.sampled_from(["b", "a", None]), st.none() | st.text(max_size=2), st.booleans()
    ),
    max_size=40,
)


@pytest.mark.parametrize(("many", "places"), [(1000, 1 << 22), (7, 1 << 22), (1000, 2)])
@given(rows=rows_of)
def test_numbered_rows_are_in_order_and_equal_to_theirs(many: int, places: int, rows: list[tuple[object, ...]]) -> None:
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_MANY", many)
        patch.setattr(groups, "_MOST_PLACES", places)
        first, number = numbered(frame)
    assert frame[first].equals(frame.unique().sort(frame.columns))
    assert frame[first][number].equals(frame)
    assert (number[first] == range(len(first))).all()
    assert [list(number).index(group) for group in range(len(first))] == first.tolist()
