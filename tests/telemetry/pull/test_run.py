"""A pull asks only for what the store has not had, keeps what came before a failure, and leaves nothing where nothing came."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.errors import SourceError, StoreError
from meshslo.telemetry.pull import Ask, Batch, Puller
from meshslo.telemetry.pull.http import Server
from meshslo.telemetry.pull.run import UNSETTLED, Window, gaps, joined, pull
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.metrics import open_metrics
from tests.support.calls import make_call, make_calls
from tests.support.series import make_histogram, make_series

T0 = datetime(2026, 11, 2, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
LATER = T0 + timedelta(days=1)
"""Long after everything here, so that all of it is settled."""


def at(hours: float) -> datetime:
    return T0 + hours * HOUR


@dataclass
class Scripted:
    """A puller of one call and one metric row an hour; remembers what it was asked, and fails from `fails_at` on."""

    fails_at: datetime | None = None
    empty: bool = False
    asked: list[Window] = field(default_factory=list)

    def read(self, ask: Ask) -> Iterator[Batch]:
        self.asked.append((ask.since, ask.until))
        since = ask.since
        while since < ask.until:
            if self.fails_at is not None and since >= self.fails_at:
                raise SourceError("gone")
            yield Batch(since, since + HOUR, *self.rows(since), notes=("partial",))
            since += HOUR

    def rows(self, since: datetime) -> tuple[pl.DataFrame, pl.DataFrame] | tuple[None, None]:
        if self.empty:
            return None, None
        identity = int(since.timestamp()).to_bytes(8, "big")
        call = make_call(start=since, span_id=identity, trace_id=identity * 2)
        minute = (since - T0) // timedelta(minutes=1)
        return make_calls([call]), make_series(make_histogram([1.0], [1], minute=minute))

    def pull(
        self, store: Path, since: float, until: float, *, now: datetime = LATER, url: str = "http://server"
    ) -> tuple[int, int, int]:
        """(calls, metric rows, duplicates) that [since, until), in hours, brought."""
        puller = Puller("scripted", int, self.read)
        done = pull(puller, Ask(Server(url), at(since), at(until), 0), store, now=now)
        return done.calls, done.series, done.duplicates


def test_calls_and_metrics_come_into_the_store(tmp_path: Path) -> None:
    assert Scripted().pull(tmp_path / "store", 0, 3) == (3, 3, 0)
    assert open_store(tmp_path / "store").scan().collect().height == 3
    assert open_metrics(tmp_path / "store").scan(at(1), at(2)).collect().height == 1


def test_a_second_pull_asks_for_the_new_part_only(tmp_path: Path) -> None:
    source = Scripted()
    source.pull(tmp_path, 0, 3)
    assert source.pull(tmp_path, 1, 5) == (2, 2, 0)
    assert source.asked[1:] == [(at(3), at(5))]


def test_an_earlier_beginning_is_asked_for(tmp_path: Path) -> None:
    source = Scripted()
    source.pull(tmp_path, 2, 3)
    assert source.pull(tmp_path, 0, 4) == (3, 3, 0)
    assert source.asked[1:] == [(at(0), at(2)), (at(3), at(4))]


def test_other_servers_have_their_own_progress(tmp_path: Path) -> None:
    source = Scripted()
    source.pull(tmp_path, 0, 2)
    source.pull(tmp_path, 0, 2, url="http://other")
    assert source.asked == [(at(0), at(2))] * 2


def test_the_newest_part_is_asked_for_again_since_spans_come_late(tmp_path: Path) -> None:
    source = Scripted()
    source.pull(tmp_path, 0, 2, now=at(2))
    source.pull(tmp_path, 0, 2)
    assert source.asked[1:] == [(at(2) - UNSETTLED, at(2))]


def test_what_came_before_a_failure_is_kept_and_the_next_pull_goes_on_there(tmp_path: Path) -> None:
    source = Scripted(fails_at=at(2))
    with pytest.raises(SourceError):
        source.pull(tmp_path, 0, 4)
    source.fails_at = None
    assert source.pull(tmp_path, 0, 4) == (2, 2, 0)
    assert open_store(tmp_path).scan().collect().height == 4


def test_rows_that_come_twice_count_once(tmp_path: Path) -> None:
    Scripted().pull(tmp_path, 0, 3)
    for progress in (tmp_path / "pull").iterdir():
        progress.unlink()
    assert Scripted().pull(tmp_path, 0, 4) == (1, 1, 6)


@pytest.mark.parametrize("source", [Scripted(fails_at=T0), Scripted(empty=True)])
def test_a_server_with_nothing_leaves_nothing(source: Scripted, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"gone|holds nothing of .* \(partial\)"):
        source.pull(tmp_path / "store", 0, 2)
    assert not (tmp_path / "store").exists()


def test_quiet_hours_after_others_are_no_error(tmp_path: Path) -> None:
    Scripted().pull(tmp_path, 0, 2)
    assert Scripted(empty=True).pull(tmp_path, 0, 4) == (0, 0, 0)


def test_a_directory_of_something_else_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    source = Scripted()
    with pytest.raises(StoreError):
        source.pull(tmp_path, 0, 1)
    assert source.asked == []


windows = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)).map(lambda pair: (at(pair[0]), at(sum(pair)))), max_size=8)


@settings(deadline=None)
@given(windows, st.integers(0, 50), st.integers(1, 20))
def test_gaps_and_covered_windows_are_together_what_was_asked(covered: list[Window], since: int, length: int) -> None:
    wanted = (at(since), at(since + length))
    missing = list(gaps(wanted, joined(covered)))

    def hours(parts: list[Window]) -> set[int]:
        return {hour for a, b in parts for hour in range((a - T0) // HOUR, (b - T0) // HOUR)}

    assert hours(missing) == hours([wanted]) - hours(covered)
    assert sum((b - a) // HOUR for a, b in missing) == len(hours(missing)), "none twice"
