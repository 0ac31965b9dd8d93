"""`meshslo report --html`: one page with everything in it, which opens without a network and complains of nothing."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from typer.testing import CliRunner

from meshslo.analysis import CallStore, from_calls
from meshslo.analysis.config import Config
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.dashboards.cli import build
from meshslo.dashboards.html_report import Asked, Part, page, report_page
from meshslo.telemetry.errors import BadConfigError
from tests.support.browser import chromium, complaints, found, wait
from tests.support.calls import make_call, make_calls
from tests.support.dashboard import filled
from tests.support.scenes import chain_calls
from tests.support.series import make_histogram, make_series

ENVOY = """\
virtual_hosts:
  - name: generator
    domains: ["*"]
    routes:
      - match: {prefix: /}
        route: {cluster: generator, timeout: 6s}
"""
TITLES = (
    "The chain",
    "Quantiles: duration of the whole call, by hop, model",
    "How calls end",
    "How long calls last",
    "Over time",
    "Streams",
    "Whose time it is",
    "What to change",
    "What the data can bear",
)


def built(calls: pl.DataFrame) -> str:
    store = from_calls(calls)
    return report_page(Asked(store, store.report(by=["hop", "model"]), Config()))


@pytest.fixture(scope="module")
def text() -> str:
    return built(chain_calls(400, cap_s=6.0))


def drawn(text: str) -> list[dict[str, Any]]:
    return [json.loads(data) for data in re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)]


def cells(text: str) -> list[list[str]]:
    """Every row of every table, cell by cell."""
    rows = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [[unescape(cell) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)] for row in rows]


def test_every_part_is_there_with_its_pictures(text: str) -> None:
    assert tuple(unescape(title) for title in re.findall(r"<h2>(.*?)</h2>", text)) == TITLES
    assert len(drawn(text)) == text.count("<figcaption>") == 10


def test_it_says_window_store_and_how_sure_it_is(text: str) -> None:
    head = text[text.index("<header>") : text.index("</header>")]
    assert "Calls that started from 2026-11-02 09:00:00Z to 2026-11-02 09:04:39Z, in calls in memory." in head
    assert "95 % confidence intervals" in head


def test_its_figures_are_those_of_the_report(text: str) -> None:
    report = from_calls(chain_calls(400, cap_s=6.0)).report(by=["hop", "model"])
    known = report.frame.filter(pl.col("value_s").is_not_null())
    dots = [value for trace in drawn(text)[1]["data"] for value in trace["x"]]
    assert sorted(dots) == sorted(known["value_s"])


def test_what_is_deployed_is_told_from_what_is_inferred() -> None:
    store = from_calls(chain_calls(400, cap_s=6.0))
    asked = Asked(store, store.report(by=["hop"]), Config())
    assert "generator.yaml:6" not in report_page(asked)
    assert "generator.yaml:6" in report_page(replace(asked, deployed=read_deployed({"generator.yaml": ENVOY})))


def test_nothing_is_loaded_from_elsewhere(text: str) -> None:
    markup = re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!#)', markup)
    assert "@import" not in markup
    assert "default-src 'none'" in markup


def test_names_are_no_markup() -> None:
    odd = make_calls([make_call(callee="</script><b>x", at_s=n, duration_s=0.1 * n + 0.1) for n in range(80)])
    text = built(odd)
    assert "</script><b>" not in text
    assert any("</script><b>x" in json.dumps(figure, ensure_ascii=False) for figure in drawn(text))
    assert any("gateway></script><b>x" in row for row in cells(text))


def test_a_question_without_an_answer_says_why() -> None:
    few = make_calls([make_call(streaming=False, chunks=1, duration_s=0.1)])
    text = built(few)
    assert "None of these calls is known to be a stream." in text
    assert "needs 298 more calls" in text


def test_metrics_alone_make_a_page_that_says_what_is_missing() -> None:
    rows = make_series(make_histogram([0.1, 1.0], [50, 40, 10]))
    store = CallStore(
        lambda since, until: make_calls([make_call()]).clear().lazy(), "metrics", series=lambda since, until: rows.lazy()
    )
    text = report_page(Asked(store, store.report(by=["hop"]), Config()))
    assert "metrics holds metrics and no single calls there" in text
    assert drawn(text)


def test_a_page_has_its_title_once_in_the_tab_and_once_above() -> None:
    text = page("a < b", ["c & d"], [Part("e", html="<p>f</p>\n")])
    assert text.count("a &lt; b") == 2
    assert "<p>c &amp; d</p>" in text


def test_manifests_without_a_page_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="--current is for the recommendations of --html"):
        CliRunner().invoke(build(), ["report", "--current", str(tmp_path)], catch_exceptions=False)


def test_the_command_writes_the_file(tmp_path: Path) -> None:
    store = filled(tmp_path / "store", chain_calls(100))
    wanted = ["report", "--store", str(store), "--html", str(tmp_path / "report.html"), "--since", "2026-11-02T09:00:10Z"]
    result = CliRunner().invoke(build(), wanted, catch_exceptions=False)
    assert (result.stdout, result.stderr) == ("", f"wrote {tmp_path / 'report.html'}\n")
    assert "from 2026-11-02 09:00:10Z to" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), tmp_path_factory.mktemp("downloads")) as running:
        yield running


def prefer(browser: Any, scheme: str) -> None:
    wanted = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", wanted)


def opened(browser: Any, file: Path) -> None:
    browser.get(file.as_uri())
    wait(lambda: browser.execute_script("return document.body.dataset.drawn === 'yes'"), "the pictures")


def ink(browser: Any) -> str:
    return str(browser.execute_script("return getComputedStyle(document.querySelector('.xtick text')).fill"))


@pytest.mark.system
@pytest.mark.parametrize("width", [1240, 600])
def test_it_draws_in_a_browser_light_and_dark(browser: Any, text: str, tmp_path: Path, width: int) -> None:
    (tmp_path / "report.html").write_text(text)
    browser.set_window_size(width, 900)
    inks = set()
    for scheme in ("light", "dark"):
        prefer(browser, scheme)
        opened(browser, tmp_path / "report.html")
        assert len(found(browser, ".drawing .main-svg")) >= len(drawn(text))
        assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
        inks.add(ink(browser))
        assert complaints(browser) == []
    assert len(inks) == 2


@pytest.mark.system
def test_the_pictures_follow_when_the_scheme_changes(browser: Any, text: str, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(text)
    prefer(browser, "light")
    opened(browser, tmp_path / "report.html")
    light = ink(browser)
    prefer(browser, "dark")
    wait(lambda: ink(browser) != light, "other colours")
