"""A real Prometheus on a free loopback port: with history loaded by promtool, or scraping a server of the test."""

import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.net import free_port, listens, wait_for
from tests.support.shared import absent

Sample = tuple[float, float]
"""Seconds since the epoch, value."""


def binary(name: str) -> str:
    """Where `prometheus` or `promtool` is; skips the test where it is not."""
    found = shutil.which(name)
    if found is None:
        absent(f"no {name} on the PATH: apt-get install prometheus")
    return str(found)


def series(name: str, labels: Mapping[str, str], samples: Sequence[Sample]) -> str:
    """One series in OpenMetrics text."""
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return "".join(f"{name}{{{told}}} {value:g} {at:.3f}\n" for at, value in samples)


def histogram(name: str, labels: Mapping[str, str], counts: Mapping[str, Sequence[Sample]]) -> str:
    """A classic histogram from the cumulative samples of each `le`; count is that of +Inf, sum is 0."""
    text = "".join(series(f"{name}_bucket", {**labels, "le": le}, samples) for le, samples in counts.items())
    whole = counts["+Inf"]
    return text + series(f"{name}_count", labels, whole) + series(f"{name}_sum", labels, [(at, 0.0) for at, _ in whole])


@contextmanager
def with_history(folder: Path, openmetrics: str) -> Iterator[str]:
    """The address of a Prometheus that holds the samples of `openmetrics`."""
    source, data = folder / "history.om", folder / "data"
    source.write_text(f"{openmetrics}# EOF\n")
    tool = [binary("promtool"), "tsdb", "create-blocks-from", "openmetrics", str(source), str(data)]
    subprocess.run(tool, check=True, capture_output=True)
    with running(folder, "") as url:
        yield url


@contextmanager
def scraping(folder: Path, port: int, path: str = "/metrics", labels: Mapping[str, str] | None = None) -> Iterator[str]:
    """The address of a Prometheus that scrapes 127.0.0.1:`port` each second, native histograms too."""
    told = "".join(f"\n          {key}: {value}" for key, value in (labels or {"team": "a"}).items())
    config = f"""
global: {{scrape_interval: 1s}}
scrape_configs:
  - job_name: test
    metrics_path: {path}
    static_configs:
      - targets: ["127.0.0.1:{port}"]
        labels:{told}
"""
    with running(folder, config) as url:
        yield url


@contextmanager
def running(folder: Path, config: str, *flags: str) -> Iterator[str]:
    """The address of a Prometheus with this configuration, the data below `folder`, and further flags."""
    (folder / "prometheus.yml").write_text(config)
    port = free_port()
    command = [
        *(binary("prometheus"), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"),
        *("--storage.tsdb.retention.time=100y", f"--web.listen-address=127.0.0.1:{port}"),
        "--enable-feature=native-histograms,exemplar-storage",
        *flags,
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or _ready(port), what="Prometheus being ready", timeout_s=60)
        assert process.poll() is None, (folder / "prometheus.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def _ready(port: int) -> bool:
    """Whether it answers queries: it listens before its data is loaded, and says 503 until then."""
    if not listens(port):
        return False
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        # Not yet: whoever waits says what did not happen.
        return False


def now_s() -> int:
    """Seconds since the epoch."""
    return int(time.time())
