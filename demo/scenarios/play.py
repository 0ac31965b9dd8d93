"""A scenario from start to end: run, learn, mend, run again, and say what was measured."""

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Protocol

import polars as pl

from meshslo.analysis import open_store
from meshslo.dashboards.console import err, out
from meshslo.demo.load import run_load
from meshslo.demo.load_plan import Ask
from meshslo.demo.processes import DemoError, Processes

from . import Evidence, Scenario
from .figures import Figures, measure, show
from .street import BOOTSTRAP, SETTLE_S, Street

MARK: Final = ".meshslo-scenario"
"""A file that says whose folder it is, so that only an earlier scenario's results are ever removed."""

DEADLINE_S: Final = 30.0
ARRIVAL_S: Final = 30.0

START_S: Final = 8.0
"""What the start of the processes is planned to take."""
ANSWER_S: Final = 2.0
"""The same of a run's last answer, of the way of its spans besides `SETTLE_S`, and of the change of proxies."""
LEARN_S: Final = 5.0
"""The same of what lies between the runs and after them: recommendations, figures, the end of the processes."""


def play(scenario: Scenario, folder: Path, *, quick: bool = False) -> bool:
    """Run the scenario into `folder`; True where the second run is better, as it is meant to be.

    Raises DemoError naming the part that failed. Every child has ended on return, whatever happened.
    """
    prepare(folder)
    say = err().print
    asks = scenario.load(quick)
    announce(scenario.name, scenario.story, asks)
    with Processes(folder / "logs") as processes:
        street = Street.plan(processes, folder, scenario.stands, scenario.weights, scenario.zones)
        street.start()
        texts = street.bootstraps()
        say(f"run 1 of 2: {len(asks):,} requests without protection")
        before, calls = _run(street, "before", texts, asks)
        mended = scenario.mend(Evidence(calls, texts))
        for reason in mended.reasons:
            out().print(reason, markup=False, highlight=False)
        say("run 2 of 2: the same requests under what follows from it")
        after, _ = _run(street, "after", mended.manifests, asks)
    show((before, after), out())
    return conclude(scenario.name, folder, (before, after), holds=scenario.holds(before, after))


class Timed(Protocol):
    """A request of a load."""

    @property
    def at_s(self) -> float:
        """When it is made, since the run's start."""
        ...


def planned_s(load: Sequence[Timed]) -> float:
    """How long a scenario is planned to take whose two runs each have this load, in order of time."""
    return START_S + 2.0 * (load[-1].at_s + ANSWER_S + SETTLE_S) + LEARN_S


def announce(name: str, story: str, load: Sequence[Timed]) -> None:
    """Say what is about to happen, and how long it is planned to take."""
    err().print(f"{name}: {story}; planned to take {planned_s(load):.0f} s")


def _run(street: Street, name: str, texts: Mapping[str, str], asks: Sequence[Ask]) -> tuple[Figures, pl.DataFrame]:
    street.run_proxies(texts)
    for file, text in texts.items():
        (street.folder / (f"{name}.yaml" if file == BOOTSTRAP else f"{name}-{file}")).write_text(text)
    since = datetime.now(UTC)
    played = run_load(asks, street.urls, DEADLINE_S, lambda _: None)
    there = {street.vantage: len(asks), "server": street.served()}
    calls = arrived(
        street, since, lambda calls: all(calls.filter(vantage=name).height >= count for name, count in there.items())
    )
    return measure(name, played.seen, calls, played.lag_s), calls


def arrived(street: Street, since: datetime, is_whole: Callable[[pl.DataFrame], bool]) -> pl.DataFrame:
    """The calls since then, once they are whole; DemoError where that does not come."""
    deadline = time.monotonic() + ARRIVAL_S
    while True:
        street.processes.check()
        calls = open_store(street.store).scan(since, None).collect()
        if is_whole(calls):
            return calls
        if time.monotonic() > deadline:
            raise DemoError(f"the run's calls did not all come to {street.store} in {ARRIVAL_S:g} s; {calls.height} did")
        time.sleep(1.0)


class Run(Protocol):
    """The figures of a run."""

    def to_dict(self) -> dict[str, Any]:
        """The run as `scenario.json` has it."""
        ...


def conclude(name: str, folder: Path, runs: Sequence[Run], *, holds: bool) -> bool:
    """Write scenario.json, and say whether the second run is better."""
    summary = {"scenario": name, "holds": holds, "runs": [run.to_dict() for run in runs]}
    (folder / "scenario.json").write_text(json.dumps(summary, indent=2) + "\n")
    err().print(
        f"{'better, as meant' if holds else 'NOT better as meant'}; store, bootstraps and scenario.json are in {folder}"
    )
    return holds


def prepare(folder: Path) -> None:
    """An empty folder, or an earlier scenario's without its results; DemoError for any other, which is left alone."""
    mark = folder / MARK
    foreign = sorted(path.name for path in folder.iterdir()) if folder.exists() and not mark.exists() else []
    if foreign:
        raise DemoError(f"{folder} holds {foreign[0]} and is no earlier scenario's: pass --out with a new directory")
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    mark.touch()
