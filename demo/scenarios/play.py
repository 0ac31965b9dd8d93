"""A scenario from start to end: run, learn, mend, run again, and say what was measured."""

import json
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.analysis import open_store
from meshslo.dashboards.console import err, out
from meshslo.demo.load import run_load
from meshslo.demo.load_plan import Ask
from meshslo.demo.processes import DemoError, Processes

from . import Evidence, Scenario
from .figures import Figures, measure, show
from .street import BOOTSTRAP, Street, as_text

MARK: Final = ".meshslo-scenario"
"""A file that says whose folder it is, so that only an earlier scenario's results are ever removed."""

DEADLINE_S: Final = 30.0
ARRIVAL_S: Final = 30.0


def play(scenario: Scenario, folder: Path, *, quick: bool = False) -> bool:
    """Run the scenario into `folder`; True where the second run is better, as it is meant to be.

    Raises DemoError naming the part that failed. Every child has ended on return, whatever happened.
    """
    _prepare(folder)
    say = err().print
    say(f"{scenario.name}: {scenario.story}")
    with Processes(folder / "logs") as processes:
        street = Street.plan(processes, folder, scenario.stands, scenario.weights)
        street.start()
        asks = scenario.load(quick)
        text = as_text(street.bootstrap())
        say(f"run 1 of 2: {len(asks):,} requests without protection")
        before, calls = _run(street, "before", text, asks)
        mended = scenario.mend(Evidence(calls, {BOOTSTRAP: text}))
        for reason in mended.reasons:
            out().print(reason, markup=False, highlight=False)
        say("run 2 of 2: the same requests under what follows from it")
        after, _ = _run(street, "after", mended.manifests[BOOTSTRAP], asks)
    return _conclude(scenario, folder, (before, after))


def _run(street: Street, name: str, text: str, asks: Sequence[Ask]) -> tuple[Figures, pl.DataFrame]:
    street.run_proxy(text)
    (street.folder / f"{name}.yaml").write_text(text)
    since = datetime.now(UTC)
    played = run_load(asks, street.url, DEADLINE_S, lambda _: None)
    calls = _arrived(street, since, len(asks))
    return measure(name, played.seen, calls, played.lag_s), calls


def _arrived(street: Street, since: datetime, requests: int) -> pl.DataFrame:
    """The run's calls, once every request and served call is in the store; DemoError where they do not come."""
    deadline = time.monotonic() + ARRIVAL_S
    while True:
        street.processes.check()
        calls = open_store(street.store).scan(since, None).collect()
        there = dict(calls.group_by("vantage").len().iter_rows())
        if there.get("proxy_in", 0) >= requests and there.get("server", 0) >= street.served():
            return calls
        if time.monotonic() > deadline:
            raise DemoError(f"of {requests} requests {there.get('proxy_in', 0)} came to {street.store} in {ARRIVAL_S:g} s")
        time.sleep(0.5)


def _conclude(scenario: Scenario, folder: Path, runs: tuple[Figures, Figures]) -> bool:
    show(runs, out())
    holds = scenario.holds(*runs)
    summary = {"scenario": scenario.name, "holds": holds, "runs": [run.to_dict() for run in runs]}
    (folder / "scenario.json").write_text(json.dumps(summary, indent=2) + "\n")
    err().print(
        f"{'better, as meant' if holds else 'NOT better as meant'}; store, bootstraps and scenario.json are in {folder}"
    )
    return holds


def _prepare(folder: Path) -> None:
    """An empty folder, or an earlier scenario's without its results; DemoError for any other, which is left alone."""
    mark = folder / MARK
    foreign = sorted(path.name for path in folder.iterdir()) if folder.exists() and not mark.exists() else []
    if foreign:
        raise DemoError(f"{folder} holds {foreign[0]} and is no earlier scenario's: pass --out with a new directory")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    mark.touch()
