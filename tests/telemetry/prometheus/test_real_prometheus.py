"""Against a real Prometheus: its own scrapes, its own restarts and gaps, its own `histogram_quantile` as the judge."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from meshslo.telemetry.prometheus.api import Prometheus, Steps
from meshslo.telemetry.prometheus.profile import Counter, Histogram, Outcomes, Profile
from meshslo.telemetry.prometheus.profiles import chosen
from meshslo.telemetry.prometheus.reader import find, read_slices
from meshslo.telemetry.pull.http import Server
from meshslo.telemetry.store.metrics import stepwise
from tests.support.prometheus import Sample, histogram, series, with_history

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("prometheus")]

T0 = 1_767_225_600
SCRAPE_S = 15
MINUTES = Steps(T0, 60, 10)
CALL = {"job": "mesh", "instance": "a", "service": "x"}
PROFILE = Profile(
    name="test",
    labels={"callee": ("service",)},
    histograms=(Histogram(metric="call_ms", unit="ms", phase="total"),),
    counters=(Counter(metric="calls_total", outcomes=Outcomes(status="code")),),
)


def scrapes(values: list[float | None]) -> list[Sample]:
    """A sample each SCRAPE_S from T0 on; None is a scrape that failed."""
    return [(T0 + SCRAPE_S * place, value) for place, value in enumerate(values) if value is not None]


def two_buckets(fast: list[float | None], slow: list[float | None], labels: dict[str, str] = CALL) -> str:
    """A histogram with the edge 100 ms: calls below it, and above."""
    whole = [None if f is None or s is None else f + s for f, s in zip(fast, slow, strict=True)]
    return histogram("call_ms", labels, {"100": scrapes(fast), "+Inf": scrapes(whole)})


def steady(start: float, by: float, number: int) -> list[float | None]:
    return [start + by * place for place in range(number)]


HISTORIES = {
    # 41 scrapes: 10 minutes.
    "plain": two_buckets(steady(100, 2, 41), steady(10, 1, 41)),
    # Restarts unseen at steps of a minute: after scrape 5, within the second minute, it counts past its old 3 and 1.
    "unseen_restart": two_buckets([*[3.0] * 6, *steady(2, 2, 35)], [*[1.0] * 6, *steady(1, 1, 35)]),
    # Before it went it had counted 4 more than at the minute's scrape.
    "lost_before_restart": two_buckets([50, 50, 50, 50, 50, 54, *steady(1, 0, 35)], [0.0] * 41),
    "gap": two_buckets([*steady(0, 1, 10), *[None] * 21, *steady(50, 1, 10)], [0.0] * 41),
    "born_later": two_buckets(steady(5, 1, 41), [0.0] * 41)
    + two_buckets([*[None] * 10, *steady(1, 0, 31)], [*[None] * 10, *steady(2, 0, 31)], {**CALL, "service": "y"}),
    # A process that was scraped from the beginning, and shows its first call after 10 scrapes.
    "first_call_late": series("up", {"job": "mesh", "instance": "b"}, scrapes(steady(1, 0, 41)))
    + two_buckets([*[None] * 10, *steady(1, 1, 31)], [*[None] * 10, *steady(0, 0, 31)], {**CALL, "instance": "b"}),
    "came_with_its_target": two_buckets(
        [*[None] * 10, *steady(7, 1, 31)], [*[None] * 10, *steady(0, 0, 31)], {**CALL, "instance": "c"}
    ),
    "two_pods": two_buckets(steady(0, 1, 41), steady(0, 1, 41))
    + two_buckets(steady(9, 2, 41), steady(0, 0, 41), {**CALL, "instance": "b"}),
    # The same edge, written in another way since scrape 20.
    "edge_respelled": histogram(
        "call_ms",
        CALL,
        {
            "100": scrapes([*steady(0, 1, 20), *[None] * 21]),
            "100.0": scrapes([*[None] * 20, *steady(20, 1, 21)]),
            "+Inf": scrapes(steady(0, 1, 41)),
        },
    ),
    "counter": series("calls_total", {**CALL, "code": "504"}, scrapes(steady(0, 1, 41))),
}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One Prometheus for all histories: each under a namespace of its own."""
    lines = [line.replace("{", f'{{namespace="{name}",', 1) for name, body in HISTORIES.items() for line in body.splitlines()]
    kinds = {"call_ms": "histogram", "calls": "counter", "up": "gauge"}
    text = ""
    for name, kind in kinds.items():
        text += f"# TYPE {name} {kind}\n" + "".join(f"{line}\n" for line in lines if line.startswith(name))
    with with_history(tmp_path_factory.mktemp("prometheus"), text) as url:
        yield Prometheus(Server(url))


def pulled(api: Prometheus, name: str, steps: Steps = MINUTES) -> pl.DataFrame:
    narrow = {"match": f'namespace="{name}"'}
    profile = PROFILE.model_copy(
        update={
            "histograms": tuple(one.model_copy(update=narrow) for one in PROFILE.histograms),
            "counters": tuple(one.model_copy(update=narrow) for one in PROFILE.counters),
        }
    )
    found = find(api, [profile], steps.since_s, steps.until_s)
    return pl.concat(stepwise(part.rows.lazy()).collect() for part in read_slices(api, found, steps))


def by_minute(rows: pl.DataFrame, high_s: float, hop: str = "unknown>x") -> list[float]:
    chosen_rows = rows.filter((pl.col("measure") == "bucket") & (pl.col("high_s") == high_s) & (pl.col("hop") == hop))
    minutes = {start.timestamp(): value for start, value in chosen_rows.select("start", "value").iter_rows()}
    return [minutes.get(T0 + 60 * minute, 0.0) for minute in range(10)]


def test_counts_of_each_minute_are_exact(servers: Prometheus) -> None:
    rows = pulled(servers, "plain")
    assert by_minute(rows, 0.1) == [8] * 10
    assert by_minute(rows, np.inf) == [4] * 10


def test_milliseconds_become_seconds(servers: Prometheus) -> None:
    buckets = pulled(servers, "plain").filter(pl.col("measure") == "bucket")
    assert set(buckets.select("low_s", "high_s").iter_rows()) == {(0.0, 0.1), (0.1, np.inf)}


def test_steps_of_any_length_count_the_same_calls(servers: Prometheus) -> None:
    totals = {
        step_s: pulled(servers, "plain", Steps(T0, step_s, 600 // step_s))["value"].sum() for step_s in (60, 120, 300, 600)
    }
    assert set(totals.values()) == {120.0}


def test_pods_of_a_service_are_added_after_each_ones_growth(servers: Prometheus) -> None:
    rows = pulled(servers, "two_pods")
    assert by_minute(rows, 0.1) == [12] * 10
    assert by_minute(rows, np.inf) == [4] * 10


def test_an_edge_that_is_written_in_two_ways_is_one(servers: Prometheus) -> None:
    rows = pulled(servers, "edge_respelled").filter(pl.col("measure") == "bucket")
    assert by_minute(rows, 0.1) == [4] * 10
    assert rows["value"].sum() == 40


def test_a_restart_between_two_steps_is_found_though_the_value_rose(servers: Prometheus) -> None:
    rows = pulled(servers, "unseen_restart")
    assert by_minute(rows, 0.1)[:3] == [0, 6, 8], "scrapes 6, 7 and 8 of the new process: 2, 4, 6"
    assert by_minute(rows, np.inf)[:3] == [0, 3, 4]


def test_what_was_counted_before_a_restart_is_not_lost(servers: Prometheus) -> None:
    assert by_minute(pulled(servers, "lost_before_restart"), 0.1)[:2] == [0, 5], "4 before it and 1 after it"


def test_growth_over_a_gap_counts_once(servers: Prometheus) -> None:
    rows = pulled(servers, "gap")
    assert sum(by_minute(rows, 0.1)) == 59


def test_a_series_that_appears_later_counts_from_its_first_call(servers: Prometheus) -> None:
    rows = pulled(servers, "born_later")
    assert sum(by_minute(rows, 0.1, "unknown>y")) == 1
    assert sum(by_minute(rows, np.inf, "unknown>y")) == 2


def test_the_first_call_of_a_process_that_was_already_scraped_counts(servers: Prometheus) -> None:
    assert sum(by_minute(pulled(servers, "first_call_late"), 0.1)) == 31


def test_what_a_process_had_counted_when_it_was_first_scraped_does_not(servers: Prometheus) -> None:
    assert sum(by_minute(pulled(servers, "came_with_its_target"), 0.1)) == 30


def test_a_counter_becomes_calls_by_outcome(servers: Prometheus) -> None:
    rows = pulled(servers, "counter")
    assert rows.select("measure", "outcome", "hop").unique().rows() == [("calls", "timeout", "unknown>x")]
    assert rows["value"].to_list() == [4.0] * 10


def test_slices_count_what_one_question_counts(servers: Prometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = pulled(servers, "born_later")
    monkeypatch.setattr("meshslo.telemetry.prometheus.reader.SAMPLES_A_SLICE", 9)
    sliced = pulled(servers, "born_later")
    order = ["hop", "start", "measure", "high_s"]
    assert sliced.sort(order).equals(whole.sort(order))


def test_profiles_are_found_by_their_metrics(servers: Prometheus) -> None:
    assert find(servers, chosen([]), T0, T0 + 600) == []
    assert [one.name for one in find(servers, [PROFILE], T0, T0 + 600)] == ["call_ms", "calls_total"]
    assert find(servers, [PROFILE], T0 - 86_400, T0 - 80_000) == [], "nothing then"
