"""What a real Prometheus scrapes while the test looks on: Linkerd's real text, a real Envoy, a native histogram."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from meshslo.analysis.metrics import roll_up_series
from meshslo.analysis.report import report
from meshslo.telemetry.prometheus.api import Prometheus, Steps
from meshslo.telemetry.prometheus.profile import Histogram, Profile
from meshslo.telemetry.prometheus.profiles import chosen
from meshslo.telemetry.prometheus.reader import find, read_slices
from meshslo.telemetry.pull.http import Server
from meshslo.telemetry.store.metrics import conform_series
from tests.support.envoy import envoy_before
from tests.support.exposition import PROTOBUF, exposing, native_histogram
from tests.support.net import wait_for
from tests.support.prometheus import now_s, scraping
from tests.support.shared import shared

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("prometheus")]


def value(api: Prometheus, query: str) -> float | None:
    """The single value of an instant query, None where there is none."""
    found = api.at(query, now_s() + 1)
    return float(found[0].value[1]) if found and found[0].value else None


def pulled(api: Prometheus, profiles: list[Profile], since_s: int) -> pl.DataFrame:
    """Series rows of every second since `since_s`."""
    steps = Steps(since_s, 1, now_s() + 1 - since_s)
    found = find(api, profiles, steps.since_s, steps.until_s)
    rows = pl.concat([part.rows for part in read_slices(api, found, steps)], how="diagonal_relaxed")
    return conform_series(rows.with_columns(source=pl.lit(api.server.url)))


def times(text: str, factor: int) -> bytes:
    """An exposition whose every count is so many times what it was."""
    return re.sub(r"(?m)^([^#].*) (\d+)$", lambda line: f"{line[1]} {int(line[2]) * factor}", text).encode()


def test_linkerds_own_scrape_gives_time_to_first_byte_and_outcomes(tmp_path: Path) -> None:
    text = shared("data", "prometheus", "linkerd_proxy_sampleMetrics.txt").read_text()
    count = 'response_latency_ms_count{direction="inbound"}'
    with exposing(times(text, 1)) as proxy, scraping(tmp_path, proxy.port, labels={"deployment": "web"}) as url:
        api = Prometheus(Server(url))
        wait_for(lambda: value(api, count) == 29, what="the first scrape")
        since_s = now_s()
        proxy.body = times(text, 41)
        wait_for(lambda: value(api, count) == 29 * 41, what="the second scrape")
        rows = pulled(api, chosen(["linkerd"]), since_s)
    rollup = roll_up_series(rows.lazy(), keys=["hop"], bucket=None, phases=["first_byte"])
    told = report(rollup, phase="first_byte", quantiles=[0.95]).row(0, named=True)
    assert (told["hop"], told["calls"], told["ok"]) == ("unknown>web", 29 * 40, 29 * 40)
    # All 29 requests of the sample took less than 1 ms.
    assert (told["status"], told["low_s"], told["high_s"]) == ("ok", 0.0, 0.001)


def test_a_real_envoys_statistics_give_hops_and_outcomes(tmp_path: Path) -> None:
    answers = [200] * 85 + [503] * 15
    with (
        envoy_before(tmp_path, answers) as envoy,
        scraping(tmp_path, envoy.admin_port, "/stats/prometheus", {"app": "gateway"}) as url,
    ):
        api = Prometheus(Server(url))
        wait_for(lambda: value(api, 'envoy_cluster_upstream_rq_total{envoy_cluster_name="generator"}') == 0, what="a scrape")
        since_s = now_s() - 1
        for expected in answers:
            assert envoy.get() == expected
        total = 'sum(envoy_cluster_upstream_rq_time_count{envoy_cluster_name="generator"})'
        # Envoy merges its histograms every few seconds.
        wait_for(lambda: value(api, total) == len(answers), what="a scrape of all requests", timeout_s=30)
        rows = pulled(api, chosen(["envoy"]), since_s)
    told = report(roll_up_series(rows.lazy(), keys=["hop"], bucket=None, phases=["total"]), quantiles=[0.5])
    hops = {row["hop"]: row for row in told.iter_rows(named=True)}
    for hop in ("gateway>generator", "ingress>gateway"):
        assert (hops[hop]["ok"], hops[hop]["error"]) == (85, 15)
        assert hops[hop]["status"] == "ok"
        assert hops[hop]["high_s"] < 1.0, "milliseconds have become seconds"


@pytest.fixture
def durations() -> np.ndarray:
    return np.random.default_rng(5).lognormal(0.5, 1.2, 3000)


@pytest.mark.parametrize("schemas", [(6, 6), (3, 3), (5, 2)], ids=["fine", "coarse", "made coarser meanwhile"])
def test_a_native_histogram_keeps_its_resolution(tmp_path: Path, durations: np.ndarray, schemas: tuple[int, int]) -> None:
    profile = Profile(
        name="native",
        histograms=(Histogram(metric="call_seconds", unit="s", phase="total", fixed={"callee": "generator"}),),
    )
    first, whole = (
        native_histogram("call_seconds", part, schema)
        for part, schema in zip((durations[:1000], durations), schemas, strict=True)
    )
    with exposing(first, PROTOBUF) as service, scraping(tmp_path, service.port) as url:
        api = Prometheus(Server(url))
        wait_for(lambda: value(api, "histogram_count(call_seconds)") == 1000, what="the first scrape")
        since_s = now_s()
        service.body = whole
        wait_for(lambda: value(api, "histogram_count(call_seconds)") == 3000, what="the second scrape")
        rows = pulled(api, [profile], since_s)
    new, base = durations[1000:], 2.0**2.0 ** -min(schemas)
    index = np.ceil(np.log(new) / np.log(base))
    buckets = rows.filter(measure="bucket").sort("high_s")
    assert buckets["value"].list.sum().to_list() == np.unique(index, return_counts=True)[1].tolist()
    assert buckets["high_s"].to_numpy() == pytest.approx(base ** np.unique(index))
    assert rows.filter(measure="sum_s")["value"].list.sum().sum() == pytest.approx(new.sum())
    told = report(roll_up_series(rows.lazy(), keys=["hop"], bucket=None, phases=["total"]), quantiles=[0.95]).row(0, named=True)
    assert told["value_s"] == pytest.approx(np.quantile(new, 0.95), rel=base - 1.0)
