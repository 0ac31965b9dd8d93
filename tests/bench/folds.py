"""A month's report from kept rollups: 10 M calls in 720 hours and 9,600 groups, folded, beside the same report from the calls.

    .venv/bin/python -m tests.bench folds

`report` is what a user waits for (`store.report` by hop, route, model and tenant, with intervals), in seconds (wall and
processor), as the median of several; `rolling_report` that of a window whose ends lie within days, which takes days and hours
instead of the month. Needed: 0.3 s.
"""

import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from meshslo.analysis.config import Limits
from meshslo.analysis.directory import DirectoryCalls, open_directory
from meshslo.telemetry.schema import FRAME, to_arrow
from meshslo.telemetry.store.hours import folder_of, write_calls
from meshslo.telemetry.store.layout import open_layout

ROWS = 10_000_000
HOURS = 720
START = datetime(2026, 9, 1, tzinfo=UTC)
SHAPE = {"hop": 8, "route": 10, "model": 6, "tenant": 20}
FOLDER = Path("build") / f"bench-folds-{ROWS}"
ROUNDS = 7
_LIMITS = Limits(routes=1000, models=1000, tenants=1000)


def make(folder: Path = FOLDER, rows: int = ROWS, hours: int = HOURS) -> float:
    """Write the calls once, and fold them; seconds the folding took, 0 where it was done before."""
    done = folder / "written"
    if not done.exists():
        layout = open_layout(folder, create=True)
        rng = np.random.default_rng(20261126)
        for number in range(hours):
            hour = START + timedelta(hours=number)
            path = folder_of(layout, hour) / "bench.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_calls(path, [to_arrow(_calls(rng, hour, rows // hours))])
        done.touch()
    began = time.perf_counter()
    folded = _opened(folder).fold(START + timedelta(days=60))
    return time.perf_counter() - began if folded else 0.0


def _calls(rng: np.random.Generator, hour: datetime, rows: int) -> pl.DataFrame:
    codes = {key: rng.integers(0, size, rows) for key, size in SHAPE.items()}
    duration_s = 0.15 * 1.35 ** codes["hop"] * 1.2 ** codes["model"] * rng.lognormal(0, 0.45, rows)
    ending = np.array(["ok", "error", "timeout", "cancelled"])[np.searchsorted([0.97, 0.985, 0.995], rng.random(rows))]
    names = {key: [f"{key}-{n}" for n in range(size)] for key, size in SHAPE.items()}
    names["hop"] = [f"service-{n}>service-{n + 1}" for n in range(SHAPE["hop"])]
    words = {key: pl.Series(names[key]).gather(codes[key]) for key in SHAPE}
    seen = {
        "start": pl.Series(rng.integers(0, 3600 * 10**9, rows) + int(hour.timestamp()) * 10**9, dtype=pl.Datetime("ns", "UTC")),
        "duration_s": duration_s,
        "first_token_s": duration_s * 0.2,
        "vantage": ["server"] * rows,
        "outcome": ending,
        "streaming": [True] * rows,
        "weight": np.ones(rows),
        **words,
    }
    return pl.DataFrame({name: seen.get(name, pl.Series([None] * rows, dtype=kind)) for name, kind in FRAME.items()}).cast(
        FRAME
    )


def _opened(folder: Path) -> DirectoryCalls:
    return open_directory(folder, _LIMITS)


def run(rounds: int = ROUNDS) -> dict[str, Any]:
    """Seconds of the report from folds and from calls, and how much room the folds take."""
    fold_s = make()
    store = _opened(FOLDER)
    by = tuple(SHAPE)
    since, until = START + timedelta(hours=36), START + timedelta(hours=HOURS - 30)

    rows = store.report(by=by).frame.height
    folds = [path.stat().st_size for path in (FOLDER / "folds").rglob("*.parquet")]
    calls = [path.stat().st_size for path in (FOLDER / "calls").rglob("*.parquet")]
    return {
        "report": _median(lambda: store.report(by=by), rounds),
        "report_by_hop": _median(lambda: store.report(by=("hop",)), rounds),
        "rolling_report": _median(lambda: store.report(by=by, since=since, until=until), 3),
        "report_from_calls": _from_calls(store, by),
        "fold_s": fold_s,
        "report_rows": rows,
        "bytes_of_folds_to_calls": sum(folds) / sum(calls),
    }


def _from_calls(store: DirectoryCalls, by: tuple[str, ...]) -> dict[str, float]:
    """The same with the folds put away."""
    folds, away = FOLDER / "folds", FOLDER / "folds-away"
    folds.rename(away)
    try:
        return _median(lambda: store.report(by=by), 3)
    finally:
        away.rename(folds)


def _median(asked: Callable[[], object], rounds: int) -> dict[str, float]:
    seconds = []
    for _ in range(rounds):
        began, spent = time.perf_counter(), time.process_time()
        asked()
        seconds.append((time.perf_counter() - began, time.process_time() - spent))
    return {name: statistics.median(each) for name, each in zip(("wall_s", "cpu_s"), zip(*seconds, strict=True), strict=True)}
