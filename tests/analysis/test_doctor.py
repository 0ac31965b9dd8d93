"""The doctor: each code is found where its cause was planted, and not where it was not."""

from typing import Any

import polars as pl
import pytest

from meshslo.analysis.coverage import coverage
from meshslo.analysis.doctor import SEVERITIES, Diagnosis, examine
from meshslo.analysis.rollup import Rollup, roll_up
from tests.support.calls import make_call, make_calls


def diagnose(rows: list[dict[str, Any]], extra: Rollup | None = None) -> Diagnosis:
    calls = make_calls(rows).lazy()
    rollup = roll_up(calls, keys=("hop",), bucket=None, phases=("total",))
    return examine(calls, rollup.merge(extra) if extra else rollup)


def codes(diagnosis: Diagnosis) -> dict[str, str]:
    return {finding.code: finding.severity for finding in diagnosis.findings}


def healthy(count: int = 400, **columns: Any) -> list[dict[str, Any]]:
    return [
        make_call(at_s=number, duration_s=1.0 + number / 1000, first_token_s=0.2, max_gap_s=0.1, **columns)
        for number in range(count)
    ]


def test_nothing_is_found_in_healthy_data() -> None:
    diagnosis = diagnose(healthy())
    assert diagnosis.findings == ()
    assert diagnosis.coverage.calls == 400


def test_no_calls_are_an_error() -> None:
    calls = make_calls([make_call()]).clear().lazy()
    diagnosis = examine(calls, roll_up(calls, keys=("hop",), bucket=None, phases=("total",)))
    assert codes(diagnosis) == {"MS901": "error"}
    assert diagnosis.to_dict()["window"] is None


@pytest.mark.parametrize(
    ("column", "code", "on_none_at_all"),
    [
        ("caller", "MS902", "warning"),
        ("tenant", "MS903", "note"),
        ("model", "MS904", "note"),
        ("weight", "MS905", "note"),
        ("duration_s", "MS906", "warning"),
    ],
)
def test_a_column_that_is_not_set(column: str, code: str, on_none_at_all: str) -> None:
    def with_nulls(share: float) -> dict[str, str]:
        rows = [row | ({column: None} if number < 400 * share else {}) for number, row in enumerate(healthy())]
        return codes(diagnose(rows))

    assert with_nulls(0.01) == {code: "note"}
    assert with_nulls(0.3) == {code: "warning"}
    assert with_nulls(1.0) == {code: on_none_at_all}


def test_the_hops_that_lack_most_are_named() -> None:
    rows = healthy(100) + healthy(60, callee="a", tenant=None) + healthy(50, callee="b", tenant=None)
    (finding,) = diagnose(rows).findings
    assert finding.subject == "gateway>a, gateway>b"
    assert finding.message.startswith("52.4 % of the calls have no tenant")


def family(child_at_s: float, number: int) -> list[dict[str, Any]]:
    parent, child = healthy(1)[0], healthy(1)[0]
    trace_id = number.to_bytes(16, "big")
    parent |= {"trace_id": trace_id}
    moved = make_call(at_s=child_at_s)["start"]
    return [parent, child | {"trace_id": trace_id, "parent_span_id": parent["span_id"], "start": moved}]


def test_a_child_before_its_parent_is_skew() -> None:
    rows = [row for number in range(1, 101) for row in family(0.1 if number > 3 else -0.25, number)]
    diagnosis = diagnose(rows)
    assert codes(diagnosis) == {"MS907": "warning"}
    skew = diagnosis.coverage.skew
    assert (skew.examined, skew.early, skew.orphans) == (100, 3, 0)
    assert skew.worst_s == pytest.approx(0.25)


def test_a_parent_outside_the_store() -> None:
    rows = healthy(90) + [row | {"parent_span_id": b"elsewher"} for row in healthy(10)]
    assert codes(diagnose(rows)) == {"MS908": "warning"}


@pytest.mark.parametrize(("column", "code"), [("first_token_s", "MS909"), ("max_gap_s", "MS910")])
def test_streams_that_do_not_show_a_phase(column: str, code: str) -> None:
    assert codes(diagnose([row | {column: None} for row in healthy()])) == {code: "warning"}
    assert codes(diagnose([row | {column: None} for row in healthy(10)] + healthy(390))) == {code: "note"}


def test_a_proxy_that_sees_no_chunks_is_no_fault_where_another_side_does() -> None:
    blind = {"first_token_s": None, "max_gap_s": None, "chunks": None}
    assert codes(diagnose(healthy() + [row | blind for row in healthy(vantage="proxy_in")])) == {}


def test_rows_that_repeat() -> None:
    rows = healthy(100)
    diagnosis = diagnose([*rows, *rows[:7]])
    assert codes(diagnosis) == {"MS911": "warning"}
    assert diagnosis.coverage.duplicates == 7


def test_calls_without_ids_repeat_nothing() -> None:
    diagnosis = diagnose([row | {"trace_id": None, "span_id": None} for row in healthy(100)])
    assert diagnosis.coverage.duplicates == 0


def test_a_callee_that_saw_longer_calls_than_its_caller_contradicts() -> None:
    rows = healthy(vantage="client") + [row | {"duration_s": 3.0} for row in healthy()]
    diagnosis = diagnose(rows)
    assert codes(diagnosis) == {"MS912": "warning"}
    (p50, p99) = diagnosis.comparisons
    assert (p50.outer, p50.inner, p50.verdict, p99.verdict) == ("client", "server", "contradiction", "contradiction")
    assert diagnosis.findings[0].message == "p50 is 1.2 s at client, 3 s at server"


def test_calls_that_were_cut_at_different_moments_do_not_contradict() -> None:
    """A caller's idle timer cut three in ten at 0.5 s; the callee learned of it with its next chunk, at 1.45 s."""
    rows = healthy(1000)
    client = [row | {"vantage": "client"} for row in rows]
    for number in range(0, 1000, 10):
        for place in (number, number + 3, number + 6):
            client[place] |= {"outcome": "timeout", "duration_s": 0.5}
            rows[place] |= {"outcome": "cancelled", "duration_s": 1.45}
    diagnosis = diagnose(client + rows)
    p50 = diagnosis.comparisons[0]
    assert p50.inner_low_s > p50.outer_high_s  # type: ignore[operator]  # both are known
    assert p50.verdict == "cut_apart"
    assert "MS912" not in codes(diagnosis)


def test_what_cut_calls_cannot_explain_still_contradicts() -> None:
    rows = [row | {"duration_s": 3.0} for row in healthy(1000)]
    client = healthy(1000, vantage="client")
    for number in range(0, 1000, 20):
        client[number] |= {"outcome": "timeout", "duration_s": 0.5}
        rows[number] |= {"outcome": "cancelled", "duration_s": 0.6}
    assert "MS912" in codes(diagnose(client + rows))


def test_a_caller_that_waited_longer_does_not_contradict() -> None:
    rows = [row | {"duration_s": 3.0} for row in healthy(vantage="client")] + healthy()
    diagnosis = diagnose(rows)
    assert diagnosis.findings == ()
    assert {item.verdict for item in diagnosis.comparisons} == {"nested"}


def test_equal_vantages_agree() -> None:
    assert {item.verdict for item in diagnose(healthy(vantage="client") + healthy()).comparisons} == {"agree"}


def test_a_metric_that_ends_at_its_top_bucket() -> None:
    metric = make_calls(healthy(vantage="metric")).with_columns(
        outcome=pl.when(pl.col("duration_s") > 1.3).then(pl.lit("timeout")).otherwise("outcome"),
        duration_s=pl.col("duration_s").clip(upper_bound=1.3),
    )
    top_bucket = roll_up(metric.lazy(), keys=("hop",), bucket=None, phases=("total",))
    diagnosis = diagnose([row | {"duration_s": 2 * row["duration_s"]} for row in healthy()], top_bucket)
    found = {finding.code: finding for finding in diagnosis.findings}
    assert found["MS913"].message == "p99 is 2.78 s at server, at least 1.3 s at metric"
    assert "read p99 from server" in found["MS913"].remedy


def test_spans_that_one_vantage_lost() -> None:
    rows = healthy(400, vantage="client") + healthy(200)
    diagnosis = diagnose(rows)
    assert codes(diagnosis) == {"MS914": "warning"}
    assert diagnosis.findings[0].message == "server saw 200 of the 400 calls that ended well for client"


def test_the_worst_comes_first_and_can_be_asked_for() -> None:
    diagnosis = diagnose([row | {"caller": None, "weight": None} for row in healthy()])
    assert [finding.severity for finding in diagnosis.findings] == ["warning", "note"]
    assert [len(diagnosis.at_least(severity)) for severity in SEVERITIES] == [2, 1, 0]


def test_skew_of_many_calls_is_looked_for_in_whole_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("meshslo.analysis.coverage.SKEW_CALLS", 50)
    skew = coverage(make_calls([row for number in range(1, 201) for row in family(-0.1, number)]).lazy()).skew
    assert 0 < skew.examined < 200
    assert (skew.early, skew.orphans) == (skew.examined, 0)
