"""Pictures of the dashboard for docs/: every page in light and dark, in a real Chromium; small PNGs of few colours.

.venv/bin/python -m tests.screenshots [STORE [CONFIG [MANIFESTS]]]

Without them: the demo as the notebooks keep it, and scenarios of the demo, run for the pages on what goes wrong (5 minutes).
"""

import io
import shutil
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any, Final

import polars as pl
from PIL import Image

from meshslo.analysis import open_store
from meshslo.dashboards.app.shell import pages
from meshslo.dashboards.figures.theme import COLOURS as PALETTE
from meshslo.dashboards.figures.theme import OUTCOME_COLOURS
from meshslo.demo.processes import DemoError
from meshslo.demo.scenarios import scenario_of
from meshslo.telemetry.schema import conform
from tests.support.browser import chromium, found, settled, wait
from tests.support.dashboard import filled, running
from tests.support.shared import ROOT

OUT = Path("docs")
SCRATCH = Path("build") / "screenshots"
RECORDED = ROOT / "notebooks" / "data"
THEMES = ("light", "dark")
WIDTH, HEIGHT = 1400, 1000
COLOURS = 255
PATCH = 40
MOST_BYTES = 150_000
MOST_HEIGHT = 2800
"""Pixels: what is further down a page is more of the same."""

ADDRESSES = {page.path: page.path for page in pages()} | {
    "chain": "",
    "latency": "latency?compare=model&compare_a=small",
    "recommendations": "recommendations?replay=true",
}
"""What a page is shown with."""

RECORDINGS: Final = {
    "security": ("rogue-caller", "unapproved-endpoint"),
    "resilience": ("broken-replica",),
    "rollout": ("bad-canary",),
}
"""Pages that are shown with the calls of scenarios of the demo, which are run for it."""

GUARDED: Final = '[egress]\napproved_hosts = ["api.approved.example"]\n\n[boundary]\ntenant_facing = ["gateway"]\n'
"""What the scenarios of callers and hosts are run with."""


def main(store: str | None, *options: str) -> None:
    """Take every picture there is."""
    shutil.rmtree(SCRATCH, ignore_errors=True)
    SCRATCH.mkdir(parents=True)
    every = [page.path for page in pages()]
    with chromium(SCRATCH / "profile", SCRATCH) as browser:
        if store is not None:
            take(browser, Path(store), options, every)
            return
        take(browser, *recorded("demo"), [path for path in every if path not in RECORDINGS])
        for path, names in RECORDINGS.items():
            take(browser, *played(path, names), [path])


def played(path: str, names: tuple[str, ...]) -> tuple[Path, tuple[str, ...]]:
    """A store of the first runs' calls of scenarios, and the options that name its config."""
    (SCRATCH / f"{path}.toml").write_text(GUARDED)
    store = filled(SCRATCH / path)
    for name in names:
        folder = SCRATCH / "demo" / name
        if not scenario_of(name).play(folder):
            raise DemoError(f"{name} did not get better as meant: {folder}")
        filled(store, first_run(open_store(folder / "store").scan(None, None).collect()))
    return store, ("--config", str(SCRATCH / f"{path}.toml"))


def first_run(calls: pl.DataFrame) -> pl.DataFrame:
    """Calls before the longest pause: those of the run that nothing had mended yet."""
    ordered = calls.sort("start")
    return ordered.head(ordered["start"].diff().arg_max() or 0)


def take(browser: Any, store: Path, options: tuple[str, ...], paths: list[str]) -> None:
    """Pictures of the pages of a store, light and dark."""
    with running(store, SCRATCH / "log", *options) as served:
        for theme, path in product(THEMES, paths):
            prefer(browser, theme)
            target = OUT / f"dashboard_{path.replace('-', '_')}{'_dark' if theme == 'dark' else ''}.png"
            target.write_bytes(small(picture(browser, f"{served.url}/{ADDRESSES[path]}")))
            sys.stdout.write(f"{target} {target.stat().st_size // 1000} kB\n")


def recorded(name: str) -> tuple[Path, tuple[str, ...]]:
    """The store of the demo as the notebooks keep it, and the options that name its config and its first mesh."""
    calls = conform(pl.read_parquet(RECORDED / "calls.parquet"))
    options = ("--config", str(RECORDED / "meshslo.toml"), "--current", str(RECORDED / "mesh"))
    return filled(SCRATCH / name, calls), options


def prefer(browser: Any, theme: str) -> None:
    """Be somebody whose system is light or dark."""
    preference = {"features": [{"name": "prefers-color-scheme", "value": theme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", preference)


def picture(browser: Any, address: str, width: int = WIDTH) -> Image.Image:
    """The page as far as it goes, once it stands still."""
    show_at(browser, width, HEIGHT)
    browser.get(address)
    settled(browser, "h2")
    script = "return document.querySelector('[data-testid=stMain]').scrollHeight"
    for _ in range(2):  # What comes later makes the page longer.
        wait(lambda: not found(browser, "[data-testid=stSkeleton], [data-testid=stSpinner]"), "the end of every wait")
        settled(browser, "h2")
        show_at(browser, width, min(int(browser.execute_script(script)), MOST_HEIGHT))
    # Plotly draws a moment after its place is there.
    time.sleep(1.0)
    return Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")


def show_at(browser: Any, width: int, height: int) -> None:
    """Make the page itself so large; a window's frame would take a part of it."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


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
