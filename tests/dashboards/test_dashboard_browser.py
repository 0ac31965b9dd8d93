"""The dashboard in a real Chromium: pages load without a complaint, filters, clicks, the slider and downloads work."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import polars as pl
import pytest
import yaml

from meshslo.dashboards.app.shell import pages
from tests.support.dashboard import Served, filled, running
from tests.support.scenes import chain_calls
from tests.support.shared import absent

pytestmark = pytest.mark.system

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)
PATIENCE_S = 90.0


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
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver is None:
        absent("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    running_browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield running_browser
    finally:
        running_browser.quit()


def opened(browser: Any, served: Served, path: str) -> None:
    """Go to a page and wait until it stands."""
    browser.get(f"{served.url}/{path}")
    settled(browser, "h2")


def settled(browser: Any, selector: str) -> None:
    """Wait until Streamlit has run the page and `selector` is on it."""
    ready = "[data-testid=stApp][data-test-script-state=notRunning]"
    wait(lambda: found(browser, ready) and found(browser, selector), f"{selector} on {browser.current_url}")


def wait(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def found(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def metric(browser: Any, label: str) -> str:
    """The value under a label; empty while the page is being drawn."""
    script = """for (const each of document.querySelectorAll('[data-testid=stMetric]'))
        if (each.innerText.startsWith(arguments[0])) return each.innerText.split('\\n').slice(1).join(' ').trim();
        return '';"""
    return str(browser.execute_script(script, label))


def complaints(browser: Any) -> list[str]:
    """What the console says is wrong, but for where Streamlit looks for its server: first at the page's own address, a 404."""
    entries = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in entries if "/_stcore/" not in message]


@pytest.mark.parametrize("path", ["", *[page.path for page in pages()][1:]])
@pytest.mark.parametrize("width", [1400, 700])
def test_a_page_loads_without_a_complaint(browser: Any, served: Served, path: str, width: int) -> None:
    browser.set_window_size(width, 1000)
    complaints(browser)
    opened(browser, served, path)
    assert not found(browser, "[data-testid=stException]")
    assert complaints(browser) == []
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_a_click_on_an_arrow_shows_that_hop_alone(browser: Any, served: Served) -> None:
    from selenium.webdriver import ActionChains

    browser.set_window_size(1400, 1000)
    opened(browser, served, "")
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
    opened(browser, served, "recommendations?hop=gateway%3Eretriever")
    before = wait(lambda: metric(browser, "timeout at this budget"), "the timeout")
    thumb = wait(lambda: found(browser, "[data-testid=stSlider] input, [role=slider]"), "the slider")[0]
    thumb.send_keys(Keys.END)
    after = wait(lambda: (now := metric(browser, "timeout at this budget")) != before and now, "another timeout")
    assert "not known" not in after


def test_policies_arrive(browser: Any, served: Served, downloads: Path) -> None:
    browser.set_window_size(1400, 1000)
    opened(browser, served, "recommendations")
    buttons = wait(lambda: found(browser, "[data-testid=stDownloadButton] button"), "the download buttons")
    (istio,) = [button for button in buttons if button.text.endswith("istio")]
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
        opened(browser, served, "?live=1")
        assert metric(browser, "calls of ingress>gateway") == "100"
        filled(tmp_path / "store", calls)
        wait(lambda: metric(browser, "calls of ingress>gateway") == "400", "the new calls")
