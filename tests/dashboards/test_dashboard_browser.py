"""The dashboard in a real Chromium: pages load without a complaint, filters, clicks, the slider and downloads work."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
import yaml

from meshslo.dashboards.app.shell import pages
from tests.support import identity
from tests.support.browser import chromium, complaints, found, metric, opened, settled, wait
from tests.support.calls import make_call, make_calls
from tests.support.dashboard import Served, filled, running
from tests.support.net import free_port
from tests.support.scenes import chain_calls

pytestmark = pytest.mark.system
FITS = "return document.documentElement.scrollWidth <= window.innerWidth"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    with running(filled(folder / "store", chain_calls(400, cap_s=6.0)), folder / "log") as dashboard:
        yield dashboard


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    with chromium(tmp_path_factory.mktemp("profile"), downloads) as running_browser:
        yield running_browser


@pytest.mark.parametrize("path", ["", *[page.path for page in pages()][1:]])
def test_a_page_loads_without_a_complaint_wide_and_narrow(browser: Any, served: Served, path: str) -> None:
    browser.set_window_size(1400, 1000)
    complaints(browser)
    opened(browser, served.url, path)
    for width in (1400, 700):
        browser.set_window_size(width, 1000)
        wait(lambda: browser.execute_script(FITS), "a page that is no wider")
    assert not found(browser, "[data-testid=stException]")
    assert complaints(browser) == []


def test_a_click_on_an_arrow_shows_that_hop_alone(browser: Any, served: Served) -> None:
    from selenium.webdriver import ActionChains

    browser.set_window_size(1400, 1000)
    opened(browser, served.url, "")
    arrows = wait(lambda: found(browser, ".js-plotly-plot .scatterlayer .point"), "the arrows of the call graph")
    ActionChains(browser).move_to_element(arrows[0]).pause(0.5).click().perform()
    chosen = wait(lambda: parse_qs(urlsplit(browser.current_url).query).get("hop"), "a hop in the address")
    assert len(chosen) == 1
    browser.get(browser.current_url)
    settled(browser, "[data-testid=stMultiSelect]")
    assert chosen[0] in found(browser, "[data-testid=stMultiSelect]")[0].text


def test_the_slider_changes_the_numbers(browser: Any, served: Served) -> None:
    from selenium.webdriver import Keys

    browser.set_window_size(1400, 1000)
    opened(browser, served.url, "recommendations?hop=gateway%3Eretriever")
    before = wait(lambda: metric(browser, "timeout at this budget"), "the timeout")
    thumb = wait(lambda: found(browser, "[data-testid=stSlider] input, [role=slider]"), "the slider")[0]
    thumb.send_keys(Keys.END)
    after = wait(lambda: (now := metric(browser, "timeout at this budget")) != before and now, "another timeout")
    assert "not known" not in after


def test_policies_arrive(browser: Any, served: Served, downloads: Path) -> None:
    browser.set_window_size(1400, 1000)
    opened(browser, served.url, "recommendations")
    press(browser, "istio")
    (istio,) = wait(lambda: found(browser, "[data-testid=stDownloadButton] button"), "the download button")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", istio)
    istio.click()
    wait(lambda: [file for file in downloads.glob("meshslo-istio.*") if file.suffix in (".yaml", ".zip")], "the file")
    (file,) = downloads.glob("meshslo-istio.*")
    shutil.unpack_archive(file, downloads / "istio") if file.suffix == ".zip" else shutil.copy(file, downloads / "istio.yaml")
    texts = [path.read_text() for path in downloads.rglob("*.yaml")]
    kinds = {document["kind"] for text in texts for document in yaml.safe_load_all(text) if document}
    assert "VirtualService" in kinds


def test_live_mode_shows_calls_that_come_meanwhile(browser: Any, tmp_path: Path) -> None:
    browser.set_window_size(1400, 1000)
    calls = chain_calls(400, cap_s=6.0)
    half = calls.filter(pl.col("trace_id").is_in(calls["trace_id"].unique(maintain_order=True).head(100).implode()))
    with running(filled(tmp_path / "store", half), tmp_path / "log") as served:
        opened(browser, served.url, "?live=1")
        assert metric(browser, "calls") == "100 ingress>gateway"
        filled(tmp_path / "store", calls)
        wait(lambda: metric(browser, "calls") == "400 ingress>gateway", "the new calls")


def test_who_logs_in_sees_their_tenant_until_they_log_out(browser: Any, tmp_path: Path) -> None:
    browser.set_window_size(1400, 1000)
    tenants = pl.Series("tenant", [("acme", "zebra")[number // 4 % 2] for number in range(1600)])
    store = filled(tmp_path / "store", chain_calls(400, cap_s=6.0).with_columns(tenants))
    config, secrets = tmp_path / "meshslo.toml", tmp_path / "secrets.toml"
    config.write_text('[dashboard]\nlogin = "default"\n[dashboard.users]\n"ana@acme.example" = ["acme"]\n')
    port = free_port()
    options = ("--config", str(config), "--secrets", str(secrets))
    with identity.provider() as people:
        secrets.write_text(people.secrets(f"http://127.0.0.1:{port}"))
        people.claims = {"sub": "1", "email": "ana@acme.example", "email_verified": True}
        with running(store, tmp_path / "log", *options, port=port) as served:
            opened(browser, served.url, "streams?hop=gateway%3Egenerator")
            assert not found(browser, "[data-testid=stPlotlyChart]")
            press(browser, "Log in")
            wait(lambda: metric(browser, "streams").endswith("gateway>generator"), "the page that was asked for, filtered")
            assert urlsplit(browser.current_url).path == "/streams"
            opened(browser, served.url, "")
            assert metric(browser, "calls") == "200 ingress>gateway"
            opened(browser, served.url, "latency?by=tenant")
            assert "zebra" not in browser.page_source
            press(browser, "Log out")
            wait(lambda: "Log in to see" in browser.page_source, "the door")
            browser.get("about:blank")


def press(browser: Any, words: str) -> None:
    def button() -> Any:
        return next((each for each in found(browser, "button") if words in each.text), None)

    wait(button, f"the button {words}").click()


@pytest.mark.parametrize("calls", [None, [make_call(tenant="t") for _ in range(40)]], ids=["no", "a tenant's"])
def test_next_to_nothing_is_a_page_that_helps(browser: Any, tmp_path: Path, calls: list[dict[str, Any]] | None) -> None:
    browser.set_window_size(1400, 1000)
    store = filled(tmp_path / "store", None if calls is None else make_calls(calls))
    with running(store, tmp_path / "log") as served:
        for page in pages():
            complaints(browser)
            opened(browser, served.url, "" if page is pages()[0] else page.path)
            assert not found(browser, "[data-testid=stException]")
            assert complaints(browser) == []
            assert calls is not None or "meshslo collect" in browser.page_source
        # A page whose server is gone complains.
        browser.get("about:blank")
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_store_that_goes_while_it_is_looked_at_is_named(browser: Any, tmp_path: Path) -> None:
    browser.set_window_size(1400, 1000)
    store = filled(tmp_path / "store", make_calls([make_call()]))
    with running(store, tmp_path / "log") as served:
        opened(browser, served.url, "")
        wait(lambda: found(browser, "[data-testid=stDataFrame]"), "the table of hops")
        shutil.rmtree(store)
        browser.refresh()
        wait(lambda: "does not exist" in browser.page_source, "the store's name")
        assert not found(browser, "[data-testid=stException]")
        filled(store, make_calls([make_call()]))
        press(browser, "Look again")
        wait(lambda: found(browser, "[data-testid=stDataFrame], [data-testid=stAlert]"), "the page")
        browser.get("about:blank")
    assert "Traceback" not in (tmp_path / "log").read_text()
