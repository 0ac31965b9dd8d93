"""Prometheus rules of objectives: promtool finds them sound, alerts fire in time, and not on a single failure."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from meshslo.analysis import from_calls
from meshslo.analysis.config import parse_config
from meshslo.analysis.slo.windows import BURN_WINDOWS, burn_windows
from meshslo.dashboards.rules.document import Rules, make_rules, producer_called
from meshslo.telemetry.collect.call_metrics import CallMetrics
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.counted import add_counts, count_calls, read_counts, stage_counts
from tests.support.calls import make_call, make_calls
from tests.support.promtool import firing, run_rules

FAST = '[[slo]]\nname = "fast"\nhop = "gateway>generator"\nsli = "total"\nthreshold_s = 2.5\ntarget = 0.99\n'
WORKS = '[[slo]]\nname = "works"\nhop = "gateway>generator"\nsli = "success"\ntarget = 0.99\n'
FIRST = FAST.replace("fast", "first").replace("total", "first_token")
GOOD = '[[slo]]\nname = "good"\nhop = "gateway>generator"\nsli = "goodput"\nall_of = ["fast", "works"]\ntarget = 0.9\n'
HOP = 'vantage="client",hop="gateway>generator",route="/v1/chat",model="m",tenant="t"'


def rules_of(text: str, producer: str = "meshslo") -> Rules:
    return make_rules(parse_config(text), producer_called(producer))


def written(folder: Path, text: str, producer: str = "meshslo") -> Path:
    path = folder / "rules.yaml"
    path.write_text(rules_of(text, producer).to_yaml())
    return path


def calls(outcome: str, values: str) -> dict[str, str]:
    return {f'meshslo_calls_total{{{HOP},outcome="{outcome}"}}': values}


def durations(outcome: str, within: str, whole: str, phase: str = "total") -> dict[str, str]:
    """A histogram of two buckets: up to 2.5 s, and all."""
    labels = f'{HOP},outcome="{outcome}",phase="{phase}"'
    return {
        f'meshslo_call_seconds_bucket{{{labels},le="2.5"}}': within,
        f'meshslo_call_seconds_bucket{{{labels},le="+Inf"}}': whole,
        f"meshslo_call_seconds_count{{{labels}}}": whole,
    }


@pytest.mark.system
def test_an_outage_pages_in_time_and_stops_when_it_is_over(tmp_path: Path) -> None:
    # 10 calls a minute; from minute 60 to 80 every one fails.
    series = calls("ok", "0+10x60 600x20 600+10x60") | calls("error", "0x60 0+10x20 200x60")
    page = firing("MeshsloBudgetBurn", slo="works", severity="page", window="1h")
    too_fast = 'count(meshslo:slo_broken:ratio1h{slo="works"} > 0.144) or vector(0)'
    expected = [
        *((too_fast, "65m", 0.0), (page, "65m", 0.0)),
        *((page, "72m", 1.0), (page, "80m", 1.0)),
        *((too_fast, "90m", 1.0), (page, "90m", 0.0)),
    ]
    run_rules(written(tmp_path, WORKS), series, expected)


@pytest.mark.system
def test_a_single_failure_at_low_traffic_wakes_nobody(tmp_path: Path) -> None:
    # A call every twenty minutes, one of which fails: a quarter of the hour's calls, far above 14.4 times the budget.
    ok = " ".join(f"{n}x19" for n in range(4)) + " 3x100"
    series = calls("ok", ok) | calls("error", "0x64 1x100")
    anything = firing("MeshsloBudgetBurn")
    expected = [(anything, f"{minute}m", 0.0) for minute in range(60, 130, 5)]
    too_fast = 'count(meshslo:slo_broken:ratio1h{slo="works"} > 0.144 and meshslo:slo_broken:ratio5m > 0.144)'
    run_rules(written(tmp_path, WORKS), series, [(too_fast, "66m", 1), *expected])


@pytest.mark.system
def test_a_slow_burn_is_a_ticket(tmp_path: Path) -> None:
    # 4 % fail: 4 times the budget of 1 %, too slow to page.
    series = calls("ok", "0+24x200") | calls("error", "0+1x200")
    ticket = firing("MeshsloBudgetBurn", severity="ticket", window="1d")
    run_rules(written(tmp_path, WORKS), series, [(ticket, "3h", 1), (firing("MeshsloBudgetBurn", severity="page"), "3h", 0)])


@pytest.mark.system
def test_slow_calls_break_a_latency_objective_and_calls_cut_early_do_not(tmp_path: Path) -> None:
    slow = durations("ok", "0+8x40", "0+10x40") | durations("timeout", "0+0x40", "0+10x40")
    run_rules(written(tmp_path, FAST), slow, [('sum(meshslo:slo_broken:ratio1h{slo="fast"})', "30m", 0.6)])
    early = durations("ok", "0+10x40", "0+10x40") | durations("timeout", "0+10x40", "0+10x40")
    early |= durations("error", "0+0x40", "0+10x40") | calls("ok", "0+10x40") | calls("timeout", "0+10x40")
    expected = [
        ('sum(meshslo:slo_broken:ratio1h{slo="fast"})', "30m", 0.0),
        ('sum(meshslo:slo_asked:increase1h{slo="fast"})', "30m", 300.0),
        (firing("MeshsloTailHidden", hop="gateway>generator", model="m"), "30m", 1),
    ]
    run_rules(written(tmp_path, FAST), early, expected)


@pytest.mark.system
def test_a_first_token_counts_whatever_became_of_the_call(tmp_path: Path) -> None:
    series = durations("ok", "0+9x40", "0+10x40", "first_token") | durations("error", "0+5x40", "0+10x40", "first_token")
    run_rules(written(tmp_path, FIRST), series, [('sum(meshslo:slo_broken:ratio1h{slo="first"})', "30m", 0.3)])


@pytest.mark.system
def test_what_is_left_of_the_budget_is_recorded(tmp_path: Path) -> None:
    series = calls("ok", "0+995x120") | calls("error", "0+5x120")
    left = 'round(sum(meshslo:slo_budget_left:ratio{slo="works"}), 0.001)'
    run_rules(written(tmp_path, WORKS), series, [(left, "100m", 0.5)])


@pytest.mark.system
def test_cut_streams_and_repeated_calls_are_alerts_and_a_hop_may_have_its_own_budget(tmp_path: Path) -> None:
    text = WORKS + '[chain]\namplification = 1.2\n[hops."gateway>generator"]\nfalse_timeout_ratio = 0.01\n'
    series = calls("ok", "0+100x40")
    other = HOP.replace("generator", "reranker")
    series |= {f'meshslo_calls_total{{{other},outcome="ok"}}': "0+100x40"}
    for hop in (HOP, other):
        series[f'meshslo_cut_streams_total{{{hop},outcome="timeout"}}'] = "0+0.5x40"
        series[f'meshslo_retries_total{{{hop},outcome="ok"}}'] = "0+25x40" if hop == HOP else "0+10x40"
    expected = [
        (firing("MeshsloStreamsCut", hop="gateway>generator"), "30m", 0),
        (firing("MeshsloStreamsCut", hop="gateway>reranker", budget="0.001"), "30m", 1),
        (firing("MeshsloAmplification", hop="gateway>generator"), "30m", 1),
        (firing("MeshsloAmplification", hop="gateway>reranker"), "30m", 0),
        (firing("MeshsloTailHidden"), "30m", 0),
    ]
    run_rules(written(tmp_path, text), series, expected)


@pytest.mark.system
def test_an_objective_that_nothing_counts_is_said(tmp_path: Path) -> None:
    unseen = firing("MeshsloObjectiveUnseen", slo="works")
    run_rules(written(tmp_path, WORKS), {"up": "1x90"}, [(unseen, "50m", 0), (unseen, "70m", 1)])
    run_rules(written(tmp_path, WORKS), calls("ok", "0x90"), [(unseen, "70m", 0)])


@pytest.mark.parametrize(
    ("text", "producer", "sentence"),
    [
        (FAST.replace("2.5", "2.0"), "meshslo", "lies between the buckets of meshslo_call_seconds, .* set it to 1 or 2.5,"),
        (
            FAST.replace("2.5", "20"),
            "istio",
            "lies between the buckets of istio_request_duration_milliseconds, .* to 10 or 30,",
        ),
        (FAST.replace("2.5", "1000"), "meshslo", "set it to 900, or ask"),
        (FIRST, "istio", 'slo "first": istio has no histogram of first_token, only of total'),
        (FAST + 'vantage = "server"', "istio", "istio does not see calls from server, only from proxy_out, proxy_in"),
    ],
)
def test_what_the_metrics_cannot_tell_is_refused(text: str, producer: str, sentence: str) -> None:
    with pytest.raises(BadConfigError, match=sentence):
        rules_of(text, producer)
    with pytest.raises(
        BadConfigError, match="no producer called nobody; there are envoy, genai, istio, linkerd, meshslo, vllm"
    ):
        producer_called("nobody")


def test_what_is_left_out_is_listed() -> None:
    made = rules_of(FAST + WORKS.replace("0.99", "0.9") + GOOD.replace("0.9", "0.8"))
    told = "\n".join(made.left_out)
    assert 'slo "good": whether a call keeps all of fast, works is not in any histogram' in told
    assert 'slo "works": no alert at 14.4 times the budget of 0.1 (over 1h)' in told
    assert "no alert on exhausted retry budgets" in told
    assert all(f"# Left out: {sentence}" in made.to_yaml() for sentence in made.left_out)


def test_burn_windows_of_alerts_are_those_of_the_table() -> None:
    for period in ("1d", "7d", "30d"):
        group = rules_of(WORKS + f'window = "{period}"').groups[0]
        alerts = [rule for rule in group["rules"] if rule.get("alert") == "MeshsloBudgetBurn"]
        objective = parse_config(WORKS + f'window = "{period}"').slo[0]
        assert [rule["labels"]["severity"] for rule in alerts] == [
            window.severity for window in burn_windows(objective.window_s)
        ]
    assert all(any(window.short_s == 300 for window in table) for table in BURN_WINDOWS.values())


def exposed(folder: Path, rows: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Name, labels and value of every sample at the /metrics of a collector that stored these calls."""
    layout = open_store(folder / "store", create=True).layout
    temporary, final = stage_counts(layout, add_counts(read_counts(layout), count_calls(make_calls(rows))))
    temporary.rename(final)
    registry = CollectorRegistry()
    registry.register(CallMetrics(layout))
    return re.findall(r"(?m)^(meshslo_\w+)\{(.*)\} (\S+)$", generate_latest(registry).decode())


def test_every_metric_and_label_is_one_that_the_collector_exposes(tmp_path: Path) -> None:
    rows = [make_call(first_token_s=0.5, first_byte_s=0.1, max_gap_s=0.2, outcome=o, attempt=2) for o in ("ok", "timeout")]
    samples = exposed(tmp_path, rows)
    names = {name for name, _, _ in samples}
    labels = {label for _, told, _ in samples for label in re.findall(r'(\w+)="', told)}
    made = rules_of(FAST + WORKS + FIRST).to_yaml()
    selectors = re.findall(r"(meshslo_[a-z_]+)\{([^}]*)\}", made)
    assert selectors
    for name, told in selectors:
        assert name in names
        assert set(re.findall(r'(\w+)[=!]~?"', told)) <= labels
    assert any('le="2.5"' in told for _, told, _ in samples)


@pytest.mark.system
def test_the_rules_and_meshslo_slo_judge_the_same_calls_alike(tmp_path: Path) -> None:
    endings = [
        ("ok", 1.0),
        ("ok", 9.0),
        ("timeout", 1.0),
        ("timeout", 3.0),
        ("cancelled", 2.0),
        ("error", 0.2),
        ("rejected", 0.1),
    ]
    numbers = (40, 7, 5, 3, 2, 6, 4)
    rows = [
        make_call(outcome=outcome, duration_s=duration_s, vantage="client", first_token_s=duration_s / 2)
        for (outcome, duration_s), number in zip(endings, numbers, strict=True)
        for _ in range(number)
    ]
    series = {f"{name}{{{told}}}": f"0x5 {value}x90" for name, told, value in exposed(tmp_path, rows)}
    text = FAST + WORKS + FIRST
    standings = from_calls(make_calls(rows)).slo(parse_config(text)).standings
    expected = [
        (f'round(1e6 * sum(meshslo:slo_broken:ratio1h{{slo="{name}"}}))', "30m", round(1e6 * (1.0 - decided)))
        for name, decided in ((each.objective.name, each.counts.decided) for each in standings)
    ]
    run_rules(written(tmp_path, text), series, expected)


def test_kubernetes_gets_the_same_groups() -> None:
    made = rules_of(FAST)
    resource, plain = yaml.safe_load(made.to_kubernetes()), yaml.safe_load(made.to_yaml())
    assert (resource["kind"], resource["apiVersion"]) == ("PrometheusRule", "monitoring.coreos.com/v1")
    assert resource["spec"]["groups"] == plain["groups"]
    assert made.to_yaml() == rules_of(FAST).to_yaml()
