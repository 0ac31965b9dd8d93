"""A real Chromium, headless, and what tests ask of a page of the dashboard in it."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from .shared import absent

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    # Half of the processor time otherwise goes into painting as a graphics card would, and into moving things gently.
    "--disable-gpu-compositing",
    "--disable-software-rasterizer",
    "--force-prefers-reduced-motion",
    "--disable-extensions",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1400,1000",
)
PATIENCE_S = 90.0


@contextmanager
def chromium(profile: Path, downloads: Path) -> Iterator[Any]:
    """A browser until the block ends; what it downloads arrives in `downloads`. Skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        absent("no chromium with chromedriver: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield browser
    finally:
        browser.quit()


def opened(browser: Any, url: str, path: str) -> None:
    """Go to a page of the dashboard at `url` and wait until it stands."""
    browser.get(f"{url}/{path}")
    settled(browser, "h2")


def settled(browser: Any, selector: str) -> None:
    """Wait until Streamlit has run the page and `selector` is on it."""
    ready = "[data-testid=stApp][data-test-script-state=notRunning]"
    wait(lambda: found(browser, ready) and found(browser, selector), f"{selector} on {browser.current_url}")


def wait(condition: Callable[[], Any], what: str) -> Any:
    """The first true answer of `condition`; AssertionError where none comes in time."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.2)
    raise AssertionError(f"not within {PATIENCE_S} s: {what}")


def found(browser: Any, selector: str) -> list[Any]:
    """The elements on the page."""
    return list(browser.find_elements("css selector", selector))


def metric(browser: Any, label: str) -> str:
    """The value under a label, and what is below it; empty while the page is being drawn."""
    script = """for (const each of document.querySelectorAll('[data-testid=stMetric]'))
        if (each.innerText.startsWith(arguments[0])) return each.innerText.split('\\n').slice(1).join(' ').trim();
        return '';"""
    return " ".join(str(browser.execute_script(script, label)).split())


def complaints(browser: Any) -> list[str]:
    """What the console says is wrong, but for where Streamlit looks for its server: first at the page's own address, a 404."""
    entries = [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    return [message for message in entries if "/_stcore/" not in message]
