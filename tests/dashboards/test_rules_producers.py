"""Rules over each producer's metrics: sound, true to its profile, and firing on what its counters say."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from meshslo.analysis.config import parse_config
from meshslo.dashboards.cli import build
from meshslo.dashboards.rules import Producer
from meshslo.dashboards.rules.document import Rules, make_rules, producer_called
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.profile import Label
from meshslo.telemetry.prometheus.profiles import chosen
from tests.support.promtool import check_rules, firing, run_rules

WORKS = '[[slo]]\nname = "works"\nhop = "gateway>generator"\nsli = "success"\ntarget = 0.99\n'
FAST = WORKS.replace("works", "fast").replace('"success"', '"total"\nthreshold_s = 2.5')
GOOD = WORKS.replace("works", "good").replace('"success"', '"goodput"\nall_of = ["fast", "works"]').replace("0.99", "0.9")
PRODUCERS = ["meshslo", "istio", "linkerd", "envoy", "vllm", "genai"]
NEAR = {"linkerd": "1.0", "genai": "2.56"}
"""An edge that the producer's histogram has; 2.5 s for the others."""


def fast(producer: str) -> str:
    return FAST.replace("2.5", NEAR.get(producer, "2.5"))


def rules_of(text: str, producer: str) -> Rules:
    return make_rules(parse_config(text), producer_called(producer))


def written(folder: Path, text: str, producer: str) -> Path:
    path = folder / f"{producer}.yaml"
    path.write_text(rules_of(text, producer).to_yaml())
    return path


@pytest.mark.system
@pytest.mark.parametrize("producer", PRODUCERS)
def test_promtool_finds_the_rules_sound(tmp_path: Path, producer: str) -> None:
    odd = {"route": r'"/v1/\"quoted\"\\path"', "tenant": '"a\'b: {{c}}"', "model": '"m.1|2"'}
    told = "".join(f"{key} = {value}\n" for key, value in odd.items() if key in producer_called(producer).labels)
    text = "".join(
        part.replace('name = "', f'name = "{window}-').replace('["fast", "works"]', f'["{window}-fast", "{window}-works"]')
        + f'window = "{window}"\n{told}'
        for window in ("1d", "7d", "30d")
        for part in (fast(producer), WORKS, GOOD)
    )
    hops = '[hops."a>b"]\nfalse_timeout_ratio = 0.005\n[hops."a>c"]\nfalse_timeout_ratio = 0.002\n'
    check_rules(written(tmp_path, text + hops, producer))


@pytest.mark.parametrize("producer", PRODUCERS)
def test_every_runbook_names_commands_that_there_are(producer: str) -> None:
    app = typer.main.get_command(build())
    commands = app.commands  # type: ignore[attr-defined]
    alerts = [rule for group in rules_of(fast(producer) + WORKS, producer).groups for rule in group["rules"] if "alert" in rule]
    assert alerts
    for alert in alerts:
        told = re.findall(r"`meshslo ([^`]+)`", alert["annotations"]["runbook"])
        assert told, alert["alert"]
        for words in map(shlex.split, told):
            options = {option for parameter in commands[words[0]].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options, words


@pytest.mark.parametrize("name", PRODUCERS[1:])
def test_labels_are_the_first_that_the_profile_reads(name: str) -> None:
    producer, (profile,) = producer_called(name), chosen([name])
    metrics = {metric.metric: metric for metric in (*profile.histograms, *profile.counters)}
    metric = metrics.get(producer.calls.removesuffix("_count"), profile.histograms[0])
    for key, label in producer.labels.items():
        # parent_name is the Service that a policy is about, which the retry counters have as well.
        told = [each.label if isinstance(each, Label) else each for each in profile.labels_of(metric)[key]]  # type: ignore[index]
        assert label in told[: 2 if name == "linkerd" else 1]


@pytest.mark.parametrize("producer", PRODUCERS)
def test_what_it_cannot_tell_is_listed(producer: str) -> None:
    made = rules_of(WORKS, producer)
    alerts = {rule["alert"] for group in made.groups for rule in group["rules"] if "alert" in rule}
    told = " ".join(made.left_out)
    for alert, words in {
        "MeshsloStreamsCut": "streams cut by timers",
        "MeshsloAmplification": "amplification",
        "MeshsloRetryBudgetExhausted": "exhausted retry budgets",
    }.items():
        assert (alert in alerts) != (words in told)
    assert "MeshsloTailHidden" in alerts


ISTIO = 'reporter="source",source_canonical_service="gateway",destination_canonical_service="generator"'
CLUSTER = 'app="gateway",envoy_cluster_name="outbound|80||generator.default.svc.cluster.local"'


def retried(per_minute: int, refused: int, cluster: str = CLUSTER) -> dict[str, str]:
    """Envoy's counters of 100 attempts a minute."""
    return {
        f"envoy_cluster_upstream_rq_total{{{cluster}}}": "0+100x40",
        f"envoy_cluster_upstream_rq_retry{{{cluster}}}": f"0+{per_minute}x40",
        f"envoy_cluster_upstream_rq_retry_overflow{{{cluster}}}": f"0+{refused}x40",
    }


@pytest.mark.system
def test_rules_of_two_producers_stand_beside_each_other(tmp_path: Path) -> None:
    # Istio has no word of the calls that our collector saw fail: half of them, of which each producer's budget tells alone.
    ours = {
        f'meshslo_calls_total{{vantage="client",hop="gateway>generator",outcome="{end}"}}': "0+5x40" for end in ("ok", "error")
    }
    theirs = {f'istio_requests_total{{{ISTIO},response_code="200",response_flags="-"}}': "0+10x40"}
    expected = [
        ('sum(meshslo:slo_broken:ratio1h{producer="meshslo"})', "30m", 0.5),
        ('sum(meshslo:slo_broken:ratio1h{producer="istio"})', "30m", 0.0),
        (firing("MeshsloBudgetBurn", producer="meshslo", severity="page", window="1h"), "30m", 1),
        (firing("MeshsloBudgetBurn", producer="istio"), "30m", 0),
    ]
    run_rules(written(tmp_path, WORKS, "meshslo"), ours | theirs, expected, beside=[written(tmp_path, WORKS, "istio")])


@pytest.mark.system
def test_istio_counts_a_truncated_200_as_cut(tmp_path: Path) -> None:
    def requests(code: str, flags: str) -> str:
        return f'istio_requests_total{{{ISTIO},response_code="{code}",response_flags="{flags}"}}'

    series = {requests("200", "-"): "0+90x40", requests("200", "UT"): "0+5x40", requests("503", "URX,UF"): "0+5x40"}
    series |= {requests("200", "DC"): "0+50x40"} | retried(25, 1)
    expected = [
        ('sum(meshslo:slo_broken:ratio1h{slo="works"})', "30m", 0.1),
        (firing("MeshsloStreamsCut", source_canonical_service="gateway"), "30m", 1),
        (firing("MeshsloRetryBudgetExhausted", app="gateway"), "30m", 1),
        (firing("MeshsloAmplification", app="gateway"), "30m", 1),
    ]
    run_rules(written(tmp_path, WORKS, "istio"), series, expected)


@pytest.mark.system
def test_istio_buckets_are_found_in_milliseconds_however_they_are_written(tmp_path: Path) -> None:
    text = FAST.replace("2.5", "1800")
    for le in ("1800000", "1800000.0", "1.8e+06"):
        labels = f'{ISTIO},response_code="200",response_flags="-"'
        series = {
            f'istio_request_duration_milliseconds_bucket{{{labels},le="{le}"}}': "0+9x40",
            f"istio_request_duration_milliseconds_count{{{labels}}}": "0+10x40",
        }
        run_rules(written(tmp_path, text, "istio"), series, [('sum(meshslo:slo_broken:ratio1h{slo="fast"})', "30m", 0.1)])


@pytest.mark.system
@pytest.mark.parametrize("cluster", ["generator", "outbound|80|v1|generator.default.svc.cluster.local"])
def test_envoy_clusters_are_services_whoever_named_them(tmp_path: Path, cluster: str) -> None:
    labels = f'app="gateway",envoy_cluster_name="{cluster}"'
    other = labels.replace("generator", "generator-2")
    series = {
        f'envoy_cluster_upstream_rq{{{labels},envoy_response_code="200"}}': "0+95x40",
        f'envoy_cluster_upstream_rq{{{labels},envoy_response_code="503"}}': "0+5x40",
        f'envoy_cluster_upstream_rq{{{other},envoy_response_code="503"}}': "0+100x40",
        f"envoy_cluster_upstream_rq_timeout{{{labels}}}": "0+2x40",
        f'envoy_cluster_upstream_rq_time_bucket{{{labels},le="2500"}}': "0+80x40",
        f"envoy_cluster_upstream_rq_time_count{{{labels}}}": "0+100x40",
        **retried(10, 0, labels),
        **retried(50, 9, 'app="gateway",envoy_cluster_name="xds-grpc"'),
    }
    expected = [
        ('round(sum(meshslo:slo_broken:ratio1h{slo="works"}), 0.001)', "30m", 0.05),
        ('round(sum(meshslo:slo_broken:ratio1h{slo="fast"}), 0.001)', "30m", 0.2),
        (firing("MeshsloStreamsCut", app="gateway"), "30m", 1),
        (firing("MeshsloAmplification"), "30m", 0),
        # What a proxy asks of its own control plane is nobody's call.
        (firing("MeshsloRetryBudgetExhausted"), "30m", 0),
    ]
    run_rules(written(tmp_path, WORKS + FAST, "envoy"), series, expected)


@pytest.mark.system
def test_linkerd_tells_timeouts_from_errors_and_counts_retries_by_route(tmp_path: Path) -> None:
    route = 'deployment="gateway",parent_name="generator",route_name="chat"'
    calls = "outbound_http_route_request_statuses_total"
    series = {
        f'{calls}{{{route},http_status="200",error=""}}': "0+96x40",
        f'{calls}{{{route},http_status="",error="REQUEST_TIMEOUT"}}': "0+3x40",
        f'{calls}{{{route},http_status="500",error=""}}': "0+1x40",
        f'outbound_http_route_request_duration_seconds_bucket{{{route},le="1.0"}}': "0+90x40",
        f"outbound_http_route_request_duration_seconds_count{{{route}}}": "0+100x40",
        f"outbound_http_route_retry_requests_total{{{route}}}": "0+30x40",
        f"outbound_http_route_retry_overflow_total{{{route}}}": "0+1x40",
        f"outbound_http_route_backend_requests_total{{{route}}}": "0+130x40",
    }
    expected = [
        ('round(sum(meshslo:slo_broken:ratio1h{slo="works"}), 0.001)', "30m", 0.04),
        ('round(sum(meshslo:slo_broken:ratio1h{slo="fast"}), 0.001)', "30m", 0.1),
        ("round(sum(meshslo:amplification:ratio1h), 0.001)", "30m", 1.3),
        *((firing(f"Meshslo{alert}", route_name="chat"), "30m", 1) for alert in ("StreamsCut", "Amplification", "TailHidden")),
        (firing("MeshsloRetryBudgetExhausted", deployment="gateway"), "30m", 1),
    ]
    run_rules(written(tmp_path, WORKS + fast("linkerd"), "linkerd"), series, expected)


@pytest.mark.system
def test_vllm_tells_aborts_from_answers_and_not_who_called(tmp_path: Path) -> None:
    server = 'service="generator",model_name="m"'
    series = {
        f'vllm:request_success_total{{{server},finished_reason="{reason}"}}': f"0+{per_minute}x40"
        for reason, per_minute in (("stop", 80), ("length", 10), ("abort", 5), ("error", 10))
    }
    series |= {
        f'vllm:time_to_first_token_seconds_bucket{{{server},le="2.5"}}': "0+75x40",
        f"vllm:time_to_first_token_seconds_count{{{server}}}": "0+100x40",
    }
    first = FAST.replace('"total"', '"first_token"') + 'model = "m"\n'
    expected = [
        ('round(sum(meshslo:slo_broken:ratio1h{slo="works"}), 0.001)', "30m", 0.1),
        ('round(sum(meshslo:slo_broken:ratio1h{slo="fast"}), 0.001)', "30m", 0.25),
        (firing("MeshsloTailHidden", service="generator", model_name="m"), "30m", 1),
    ]
    run_rules(written(tmp_path, WORKS + first, "vllm"), series, expected)


@pytest.mark.system
def test_genai_clients_tell_timeouts_by_the_name_of_the_error(tmp_path: Path) -> None:
    def told(error: str) -> str:
        return f'{{service_name="gateway",server_address="generator",gen_ai_request_model="m",error_type="{error}"}}'

    metric = "gen_ai_client_operation_duration_seconds"
    series = {f"{metric}_count{told('')}": "0+90x40", f"{metric}_count{told('APITimeoutError')}": "0+6x40"}
    series |= {f"{metric}_count{told('500')}": "0+4x40", f'{metric}_bucket{told("")[:-1]},le="2.56"}}': "0+45x40"}
    expected = [
        ('round(sum(meshslo:slo_broken:ratio1h{slo="works"}), 0.001)', "30m", 0.1),
        # 45 of 90 answers took longer, and so did the 6 that were cut, which have no bucket within.
        ('round(1e6 * sum(meshslo:slo_broken:ratio1h{slo="fast"}))', "30m", round(1e6 * 51 / 96)),
        (firing("MeshsloStreamsCut", service_name="gateway"), "30m", 1),
    ]
    run_rules(written(tmp_path, WORKS + fast("genai"), "genai"), series, expected)


def test_labels_may_be_the_scrapes_own() -> None:
    made = make_rules(parse_config(WORKS), producer_called("vllm").relabelled({"callee": "job"})).to_yaml()
    assert 'job="generator"' in made
    assert "sum by (job,model_name)" in made
    made = make_rules(parse_config(WORKS), producer_called("envoy").relabelled({"caller": "job"})).to_yaml()
    assert "app" not in re.findall(r"by \((\w+)", made)
    with pytest.raises(BadConfigError, match="vllm has no label for tenant; it has some for callee, model"):
        producer_called("vllm").relabelled({"tenant": "x"})


def test_words_with_signs_of_regular_expressions_are_themselves(tmp_path: Path) -> None:
    producer: Producer = producer_called("envoy")
    text = WORKS.replace("generator", "gen.erator")
    assert r"gen\\.erator|outbound" in make_rules(parse_config(text), producer).to_yaml()


@pytest.mark.parametrize("name", PRODUCERS[1:])
def test_every_metric_is_one_of_the_profile(name: str) -> None:
    (profile,) = chosen([name])
    known = {metric.metric for metric in (*profile.histograms, *profile.counters)}
    # Counters that `pull` has no use for: calls beside a histogram of them, attempts beside retries.
    known |= {"istio_requests_total", "envoy_cluster_upstream_rq_total", "outbound_http_route_backend_requests_total"}
    envoy = {metric.metric for metric in chosen(["envoy"])[0].counters} if name == "istio" else set()
    asked = set(re.findall(r"increase\(([a-z0-9_:]+)\{", rules_of(fast(name) + WORKS, name).to_yaml()))
    assert asked
    assert {re.sub(r"_(bucket|count)$", "", metric) for metric in asked} <= known | envoy
