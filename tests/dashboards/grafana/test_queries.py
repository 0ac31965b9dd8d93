"""Every query of every dashboard, on a real Prometheus with what our collector's /metrics says of known calls."""

import json
import random
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.registry import CollectorRegistry

from meshslo.analysis.config import parse_config
from meshslo.analysis.recommend import Recommendations, parse_recommendations
from meshslo.dashboards.grafana import OWN, generate, sources
from meshslo.dashboards.grafana.board import Advice
from meshslo.dashboards.grafana.expressions import CannotExpressError, Expressions
from meshslo.dashboards.grafana.names import Names
from meshslo.dashboards.rules.document import make_rules, producer_called
from meshslo.telemetry.collect.call_metrics import CallMetrics
from meshslo.telemetry.store.counted import COUNTS, add_counts, count_calls, stage_counts
from meshslo.telemetry.store.layout import Layout
from tests.dashboards.grafana.advice import ADVICE
from tests.dashboards.grafana.promql import Asked, ask, filled, queries, values
from tests.support.calls import make_call, make_calls
from tests.support.exposition import exposing
from tests.support.net import wait_for
from tests.support.prometheus import now_s, scraping, series, with_history

pytestmark = pytest.mark.system

NOW_S = 1_762_000_000
STEPS = 40
STEP_S = 15
PER_STEP = 100
"""Calls of the generator in each step: 6.67 a second."""

RECOMMENDED: Recommendations = parse_recommendations(ADVICE)


def generator_calls() -> list[dict[str, Any]]:
    """100 attempts at the generator: 80 ok, 8 cut, 4 given up, 5 failed, 3 rejected; 10 are retries, 12 exceed 900 s."""
    rng = random.Random(7)
    endings = ["ok"] * 80 + ["timeout"] * 8 + ["cancelled"] * 4 + ["error"] * 5 + ["rejected"] * 3
    rows = []
    for number, outcome in enumerate(endings):
        long = number < 12
        rows.append(
            {
                "outcome": outcome,
                "attempt": 2 if number % 10 == 0 else 1,
                "duration_s": 1000.0 if long else rng.uniform(0.2, 8.0),
                "first_byte_s": 950.0 if long else rng.uniform(0.01, 0.2),
                "first_token_s": 960.0 if long else rng.uniform(0.1, 1.0),
                "max_gap_s": 970.0 if long else rng.uniform(0.02, 0.4),
                "input_tokens": 50,
                "output_tokens": 200,
            }
        )
    return rows


def chain_calls() -> list[dict[str, Any]]:
    """The generator's calls as client and server see them, those of the entry hop as the server does, one of another."""
    rows = generator_calls()
    client = [make_call(vantage="client", **row) for row in rows]
    server = [make_call(vantage="server", **{**row, "duration_s": row["duration_s"] / 2}) for row in rows]
    entry = [make_call(caller="ingress", callee="gateway", **row) for row in rows]
    few = [make_call(callee="reranker", duration_s=0.02, first_byte_s=0.01, first_token_s=0.015, max_gap_s=0.001)]
    return [*client, *server, *entry, *few]


def own_registry(folder: Path) -> CollectorRegistry:
    """What a collector with a store in `folder` exports of those calls."""
    layout = Layout(folder)
    temporary, final = stage_counts(layout, add_counts(COUNTS.to_frame(), count_calls(make_calls(chain_calls()))))
    temporary.rename(final)
    registry = CollectorRegistry()
    registry.register(CallMetrics(layout))
    return registry


def own_history(folder: Path) -> str:
    """What the collector exports of those calls, arriving evenly for ten minutes until NOW_S."""
    families = text_string_to_metric_families(generate_latest(own_registry(folder)).decode())
    times = [NOW_S - STEP_S * (STEPS - step) for step in range(STEPS + 1)]
    return "".join(
        series(sample.name, sample.labels, [(at, sample.value * step) for step, at in enumerate(times)])
        for family in families
        for sample in family.samples
    )


def recorded_history(producer: str = "meshslo") -> str:
    """What the rules of an objective on the generator record, and an alert of theirs; each name is one that they do record."""
    text = '[[slo]]\nname = "works"\nhop = "gateway>generator"\nsli = "success"\ntarget = 0.99\n'
    rules = [rule for group in make_rules(parse_config(text), producer_called(producer)).groups for rule in group["rules"]]
    times = [NOW_S - STEP_S * (STEPS - step) for step in range(STEPS + 1)]
    held = [(at, 0.02) for at in times]
    names = {rule["record"]: rule.get("labels", {}) for rule in rules if "record" in rule}
    alert = {"alertname": "MeshsloBudgetBurn", "alertstate": "firing", **names["meshslo:slo_budget:ratio"]}
    return "".join(series(name, labels, held) for name, labels in names.items()) + series("ALERTS", alert, held)


ENVOY_NOW = {
    "upstream_rq_active": 12.0,
    "upstream_rq_pending_active": 2.0,
    "outlier_detection_ejections_active": 1.0,
    "circuit_breakers_default_rq_open": 1.0,
}


def mesh_history() -> str:
    """Istio's and Envoy's counts of a few calls, with what is peculiar to them."""
    times = [NOW_S - STEP_S * (STEPS - step) for step in range(STEPS + 1)]

    def grows(name: str, labels: dict[str, str], per_step: float) -> str:
        return series(name, labels, [(at, per_step * step) for step, at in enumerate(times)])

    text = ""
    ends = {"source_canonical_service": "gateway", "destination_canonical_service": "generator"}
    told = [("200", "-", 60), ("200", "UT", 30), ("200", "DC", 6), ("503", "UC", 3), ("503", "UH", 1)]
    for reporter, twice in (("source", 1), ("destination", 2)):
        for status, flags, calls in told:
            labels = {**ends, "reporter": reporter, "response_code": status, "response_flags": flags}
            labels["destination_canonical_revision"] = "v2" if flags == "UT" else "v1"
            # As Istio does: the caller's side does not say whether a call is encrypted.
            plain = "none" if flags == "DC" else "mutual_tls"
            labels["connection_security_policy"] = plain if reporter == "destination" else "unknown"
            if reporter == "destination" and plain == "mutual_tls":
                labels["source_principal"] = "spiffe://cluster.local/ns/default/sa/gateway"
            name = "istio_request_duration_milliseconds"
            for le, share in (("1000", 0.5), ("30000", 0.9), ("+Inf", 1.0)):
                text += grows(f"{name}_bucket", {**labels, "le": le}, calls * twice * share)
            text += grows(f"{name}_count", labels, calls * twice)
            text += grows(f"{name}_sum", labels, calls * twice * 2000.0)
    for host, per_step in (("api.openai.com", 30), ("PassthroughCluster", 15), ("ranker.default.svc", 90)):
        out = {"source_canonical_service": "gateway", "destination_service_name": host, "reporter": "source"}
        text += grows("istio_requests_total", out, per_step)
    egress = {"parent_kind": "EgressNetwork", "parent_name": "out", "deployment": "gateway", "hostname": "api.openai.com"}
    text += grows("outbound_http_route_request_statuses_total", egress, 45)
    inside = {"parent_kind": "Service", "parent_name": "ranker", "deployment": "gateway", "hostname": "ranker"}
    text += grows("outbound_http_route_request_statuses_total", inside, 60)
    cluster = {"app": "gateway", "envoy_cluster_name": "outbound|80||generator.default.svc.cluster.local"}
    text += grows("envoy_cluster_upstream_rq", {**cluster, "envoy_response_code": "200"}, 90)
    text += grows("envoy_cluster_upstream_rq", {**cluster, "envoy_response_code": "504"}, 10)
    for name in ("upstream_rq_pending_overflow", "outlier_detection_ejections_enforced_total"):
        text += grows(f"envoy_cluster_{name}", cluster, 3)
    text += grows("envoy_cluster_upstream_rq_time_sum", cluster, 90 * 2000.0)
    for name, value in ENVOY_NOW.items():
        text += series(f"envoy_cluster_{name}", cluster, [(at, value) for at in times])
    return text + grows("envoy_cluster_upstream_rq_retry", cluster, 25)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    with with_history(folder, own_history(tmp_path_factory.mktemp("store")) + mesh_history() + recorded_history()) as url:
        yield url


OURS = list(queries(generate([Names(OWN)], RECOMMENDED).files))
THEIRS = list(queries(generate(sources([])[1:], RECOMMENDED).files))


@pytest.mark.parametrize("asked", OURS, ids=str)
def test_every_query_of_ours_returns_data(prometheus: str, asked: Asked) -> None:
    found = values(
        prometheus,
        filled(asked.expr),
        NOW_S,
        "hop",
        "route",
        "model",
        "tenant",
        "outcome",
        "le",
        "setting",
        "target",
        "slo",
        "alertname",
    )
    assert found


@pytest.mark.parametrize("file", sorted({asked.file for asked in THEIRS}))
def test_every_query_of_others_is_understood(prometheus: str, file: str) -> None:
    for asked in THEIRS:
        if asked.file == file:
            ask(prometheus, filled(asked.expr), NOW_S)


def own(prometheus: str, expr: str, *labels: str, **variables: str) -> dict[Any, float]:
    return values(prometheus, filled(expr, **variables), NOW_S, *labels)


def test_a_call_seen_twice_counts_once(prometheus: str) -> None:
    found = own(prometheus, Names(OWN).calls(), "hop", "vantage")
    per_s = pytest.approx(PER_STEP / STEP_S)
    few_per_s = pytest.approx(1 / STEP_S)
    expected = {
        "gateway>generator": ("client", per_s),
        "ingress>gateway": ("server", per_s),
        "gateway>reranker": ("server", few_per_s),
    }
    assert found == {(hop, vantage): rate for hop, (vantage, rate) in expected.items()}


def test_a_variable_narrows_every_query(prometheus: str) -> None:
    for asked in OURS:
        found = ask(prometheus, filled(asked.expr, hop="nobody>nothing"), NOW_S)
        assert not found, asked


def test_shares_are_of_all_calls(prometheus: str) -> None:
    names = Names(OWN)
    assert own(prometheus, names.share(("timeout",)), "hop")["gateway>generator"] == pytest.approx(0.08)
    assert own(prometheus, names.share(("timeout", "cancelled")), "hop")["gateway>generator"] == pytest.approx(0.12)
    assert own(prometheus, names.share(("error", "rejected"), "model"), "hop", "model")["gateway>generator", "m"] == (
        pytest.approx(0.08)
    )


def test_a_tail_above_the_top_bucket_is_marked(prometheus: str) -> None:
    names = Names(OWN)
    # The 12 long ones are ok; quantiles are of the 92 that were answered or cut.
    assert own(prometheus, names.beyond("total"), "hop")["gateway>generator"] == pytest.approx(12 / 92)
    assert own(prometheus, names.at_least(0.99, "total"), "hop")["gateway>generator"] == 900.0
    assert "gateway>generator" not in own(prometheus, names.at_least(0.5, "total"), "hop")
    assert own(prometheus, names.quantile(0.5, "total"), "hop")["gateway>generator"] < 10.0


def test_a_tail_of_too_few_calls_is_drawn_apart(prometheus: str) -> None:
    names = Names(OWN)
    for q in (0.95, 0.99):
        assert own(prometheus, names.quantile(q, "total"), "hop").keys() == {"gateway>generator", "ingress>gateway"}
        assert own(prometheus, names.few(q, "total"), "hop").keys() == {"gateway>reranker"}


def test_retries_are_of_calls_asked_for(prometheus: str) -> None:
    names = Names(OWN)
    assert own(prometheus, names.per_call("retries"), "hop")["gateway>generator"] == pytest.approx(10 / 90)
    assert own(prometheus, names.amplification(), "hop")["gateway>generator"] == pytest.approx(100 / 90)


def test_recommended_values_are_lines_where_the_hop_is(prometheus: str) -> None:
    advised, now = Advice(RECOMMENDED).lines(Names(OWN), "total_timeout")
    assert own(prometheus, advised.expr, "target") == {"gateway>generator /v1/chat": 45.0}
    assert own(prometheus, now.expr, "target") == {"gateway>generator /v1/chat": 3.0}
    assert not own(prometheus, advised.expr, "target", hop="ingress>gateway")


def test_exemplars_lead_from_a_panel_to_traces(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    body = generate_latest(own_registry(tmp_path / "store"))
    expr = filled(Names(OWN).quantile(0.99, "total"))
    with exposing(body, OPENMETRICS) as exposed, scraping(tmp_path, exposed.port) as url:

        def found() -> list[dict[str, Any]]:
            with urllib.request.urlopen(f"{url}/api/v1/query_exemplars?{told}", timeout=10) as answer:
                return list(json.load(answer)["data"])

        told = urllib.parse.urlencode({"query": expr, "start": now_s() - 60, "end": now_s() + 3600})
        wait_for(lambda: bool(found()), what="a scrape with exemplars")
        assert {len(one["labels"]["trace_id"]) for each in found() for one in each["exemplars"]} == {32}


def names_of(profile: str) -> Expressions:
    return sources([profile])[0]


def test_istio_flags_beat_the_status_and_milliseconds_become_seconds(prometheus: str) -> None:
    names = names_of("istio")
    found = own(prometheus, names.outcomes(), "hop", "vantage", "outcome")
    expected = {"ok": 60, "timeout": 30, "cancelled": 6, "error": 3, "rejected": 1}
    assert found == {("gateway>generator", "source", k): pytest.approx(v / STEP_S) for k, v in expected.items()}
    assert own(prometheus, names.share(("timeout",)), "hop") == {"gateway>generator": pytest.approx(0.3)}
    assert own(prometheus, names.quantile(0.99, "total"), "hop") == {"gateway>generator": pytest.approx(30.0)}
    assert own(prometheus, names.mean("total"), "hop") == {"gateway>generator": pytest.approx(2.0)}
    assert own(prometheus, names.beyond("total"), "hop") == {"gateway>generator": pytest.approx(0.1)}


def test_envoy_clusters_are_services_and_retries_come_on_top(prometheus: str) -> None:
    names = names_of("envoy")
    assert own(prometheus, names.share(("timeout",)), "hop") == {"gateway>generator": pytest.approx(0.1)}
    assert own(prometheus, names.amplification(), "hop") == {"gateway>generator": pytest.approx(1.25)}


def test_envoys_breakers_and_ejections_are_shown(prometheus: str) -> None:
    (made,) = [text for path, text in generate(sources(["envoy"])).files.items() if path.endswith("/resilience.json")]
    for asked in queries({"dashboards/envoy/resilience.json": made}):
        found = own(prometheus, asked.expr, "hop")
        assert found.keys() == {"gateway>generator"}, asked
    names = names_of("envoy")
    assert own(prometheus, names.in_progress(), "hop") == {"gateway>generator": pytest.approx(90 * 2.0 / STEP_S)}
    assert own(prometheus, names.gauge("active"), "hop") == {"gateway>generator": 12.0}
    assert own(prometheus, names.events("ejections"), "hop") == {"gateway>generator": pytest.approx(3 / STEP_S)}


def test_calls_in_progress_are_the_seconds_of_calls_a_second(prometheus: str) -> None:
    held_s = sum(row["duration_s"] for row in generator_calls() if row["outcome"] in ("ok", "timeout", "cancelled"))
    found = own(prometheus, Names(OWN).in_progress(), "hop")
    assert found["gateway>generator"] == pytest.approx(held_s / STEP_S, rel=1e-3)
    assert own(prometheus, names_of("istio").in_progress(), "hop") == {"gateway>generator": pytest.approx(100 * 2.0 / STEP_S)}


def test_istio_versions_stand_beside_each_other(prometheus: str) -> None:
    names = names_of("istio")
    assert own(prometheus, names.share(("timeout",), "version"), "version") == {"v1": 0.0, "v2": 1.0}
    assert own(prometheus, names.calls("version"), "version")["v2"] == pytest.approx(30 / STEP_S)


def test_istio_encryption_is_told_by_the_callees_side(prometheus: str) -> None:
    names = names_of("istio")
    assert own(prometheus, names.encrypted(), "hop", "vantage") == {("gateway>generator", "destination"): pytest.approx(0.94)}
    found = own(prometheus, names.identities("caller_identity"), "caller_identity")
    assert found == {
        "": pytest.approx(12 / STEP_S),
        "spiffe://cluster.local/ns/default/sa/gateway": pytest.approx(188 / STEP_S),
    }


def test_callers_that_proved_nothing_are_a_share_of_all(prometheus: str) -> None:
    found = own(prometheus, names_of("istio").unproved(), "hop", "vantage")
    assert found == {("gateway>generator", "destination"): pytest.approx(12 / 200)}


def test_calls_out_of_the_mesh_are_told_by_host(prometheus: str) -> None:
    assert own(prometheus, names_of("istio").outside(), "hop") == {
        "gateway>api.openai.com": pytest.approx(30 / STEP_S),
        "gateway>PassthroughCluster": pytest.approx(15 / STEP_S),
    }
    assert own(prometheus, names_of("linkerd").outside(), "hop") == {"gateway>api.openai.com": pytest.approx(45 / STEP_S)}
    with pytest.raises(CannotExpressError, match="no label for hosts outside"):
        names_of("envoy").outside()
