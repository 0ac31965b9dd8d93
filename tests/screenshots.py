"""Pictures of the dashboard for docs/: every page in light and dark, in a real Chromium; small PNGs of few colours.

.venv/bin/python -m tests.screenshots [STORE [CONFIG [MANIFESTS]]]     without them: made-up calls of a chain
"""

import io
import shutil
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
from PIL import Image

from meshslo.dashboards.app.shell import pages
from meshslo.dashboards.figures.theme import COLOURS as PALETTE
from meshslo.dashboards.figures.theme import OUTCOME_COLOURS
from tests.support.browser import chromium, found, settled, wait
from tests.support.dashboard import filled, running
from tests.support.scenes import chain_calls

OUT = Path("docs")
SCRATCH = Path("build") / "screenshots"
THEMES = ("light", "dark")
WIDTH, HEIGHT = 1400, 1000
COLOURS = 255
PATCH = 40
MOST_BYTES = 150_000
MOST_HEIGHT = 1800
"""Pixels: what is further down a page is more of the same."""

CONFIG = """
[[slo]]
name = "chat-works"
hop = "ingress>gateway"
sli = "success"
target = 0.95
window = "1d"

[[slo]]
name = "search-fast"
hop = "gateway>retriever"
sli = "total"
threshold_s = 1.0
target = 0.99
window = "1d"
"""
ADDRESSES = {page.path: page.path for page in pages()} | {
    "chain": "",
    "latency": "latency?compare=model&compare_a=small",
    "streams": "streams?streams_by=Tenant",
    "recommendations": "recommendations?replay=true",
}
"""What a page is shown with."""


def main(store: str | None, *options: str) -> None:
    """Take every picture there is."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    if store is None:
        store = str(filled(SCRATCH / "store", made_up()))
        (SCRATCH / "meshslo.toml").write_text(CONFIG)
        options = ("--config", str(SCRATCH / "meshslo.toml"))
    with running(Path(store), SCRATCH / "log", *options) as served, chromium(SCRATCH / "profile", SCRATCH) as browser:
        for theme, page in product(THEMES, pages()):
            prefer(browser, theme)
            target = OUT / f"dashboard_{page.path.replace('-', '_')}{'_dark' if theme == 'dark' else ''}.png"
            target.write_bytes(small(picture(browser, f"{served.url}/{ADDRESSES[page.path]}")))
            sys.stdout.write(f"{target} {target.stat().st_size // 1000} kB\n")


def made_up() -> pl.DataFrame:
    """Calls of a chain of three tenants; a timer cuts the long streams."""
    calls = chain_calls(1200, cap_s=6.0)
    tenants = {trace: f"tenant-{number % 3}" for number, trace in enumerate(calls["trace_id"].unique(maintain_order=True))}
    return calls.with_columns(pl.col("trace_id").replace_strict(tenants, return_dtype=pl.String).alias("tenant"))


def prefer(browser: Any, theme: str) -> None:
    """Be somebody whose system is light or dark."""
    preference = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)


def picture(browser: Any, address: str, width: int = WIDTH) -> Image.Image:
    """The page as far as it goes, once it stands still."""
    browser.set_window_size(width, HEIGHT)
    browser.get(address)
    settled(browser, "h2")
    script = "return document.querySelector('[data-testid=stMain]').scrollHeight"
    browser.set_window_size(width, min(int(browser.execute_script(script)) + 20, MOST_HEIGHT))
    wait(lambda: not found(browser, "[data-testid=stSkeleton], [data-testid=stSpinner]"), "the end of every wait")
    settled(browser, "h2")
    # Plotly draws a moment after its place is there.
    time.sleep(1.0)
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def small(image: Image.Image) -> bytes:
    """A PNG of few colours; of fewer where it is large. The colours that mean something are among them as they are."""
    meant = [*PALETTE, *OUTCOME_COLOURS.values()]
    patches = Image.new("RGB", (image.width, image.height + PATCH * len(meant)))
    patches.paste(image)
    for place, colour in enumerate(meant):
        patches.paste(colour, (0, image.height + PATCH * place, image.width, image.height + PATCH * (place + 1)))
    for colours in (COLOURS, 128, 64, 32):
        target = io.BytesIO()
        palette = patches.quantize(colours)
        image.quantize(palette=palette, dither=Image.Dither.NONE).save(target, "PNG", optimize=True)
        if target.tell() < MOST_BYTES:
            break
    return target.getvalue()


if __name__ == "__main__":
    given = sys.argv[1:]
    config = ("--config", given[1]) if len(given) > 1 else ()
    manifests = ("--current", given[2]) if len(given) > 2 else ()
    main(given[0] if given else None, *config, *manifests)
