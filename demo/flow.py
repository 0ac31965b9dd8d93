"""The demo from start to end: run, report, recommend, apply, and run again."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from meshslo.analysis import open_store
from meshslo.dashboards.console import err, out

from .advice import Advice, advise, longest_hold_s, write_config
from .load import Played, Seen, run_load
from .load_plan import Ask, plan_load
from .measure import disagreements, entry_calls, seen_by_users, seen_in_store, stream_quantiles
from .picture import write_pictures
from .predict import Prediction, predict
from .present import show_recommendations, show_report
from .processes import DemoError, Processes, validate_bootstrap
from .runs import Run, runs_table, write_runs
from .settings import DemoSettings
from .town import Town

MARK: Final = ".meshslo-demo"
"""A file that says whose folder it is, so that only an earlier demo's results are ever removed."""

RESULTS: Final = ("store", "logs", "mesh", "envoy", "istio", "runs.json", "recommendations.json", "report.html", "summary.svg")

ARRIVAL_S: Final = 30.0
BUSY_S: Final = 0.05
"""Delays of the machine itself beyond which runs no longer compare: they stretch every simulated duration."""


@dataclass
class Demo:
    """A demo in progress, under `folder`."""

    settings: DemoSettings
    folder: Path
    town: Town
    plan: list[Ask]
    results: Console
    progress: Console

    @property
    def store(self) -> Path:
        """Where the collector keeps the calls."""
        return self.folder / "store"

    def say(self, sentence: str) -> None:
        """Tell what is being done, with the time since the start."""
        self.progress.print(f"[dim]{datetime.now(UTC):%H:%M:%S}[/] {sentence}")

    def run(
        self, name: str, bootstraps: Mapping[str, Path], promised: float | None = None, predicted: Prediction | None = None
    ) -> Run:
        """Play the load under these proxies and measure it from both sides."""
        for path in bootstraps.values():
            validate_bootstrap(path)
        self.town.mesh(bootstraps)
        self.town.begin()
        since = datetime.now(UTC)
        played = self._play(name)
        calls = self._arrived(since)
        counts = self.town.counts()
        quantiles = stream_quantiles(calls)
        return Run(
            name=name,
            since=since,
            until=datetime.now(UTC),
            users=seen_by_users(played.seen, traffic=self.town.traffic(), tokens=counts["tokens"]),
            store=seen_in_store(calls),
            p95=quantiles[0.95],
            p99=quantiles[0.99],
            promised_rate=promised,
            predicted=predicted,
            held_s=longest_hold_s(bootstraps),
            lag_s=played.lag_s,
        )

    def _play(self, name: str) -> Played:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        cut = 0
        with Progress(*columns, console=self.progress, disable=not self.progress.is_terminal) as bars:
            bar = bars.add_task(f"run '{name}'", total=len(self.plan))

            def ended(seen: Seen) -> None:
                nonlocal cut
                cut += seen.ending == "cut"
                bars.update(bar, advance=1, description=f"run '{name}': {cut} cut")

            return run_load(self.plan, [self.town.url], self.settings.deadline_s, ended)

    def _arrived(self, since: datetime) -> pl.DataFrame:
        """The run's calls, once every request, attempt and served call is in the store, or has not come in `ARRIVAL_S`."""
        deadline = time.monotonic() + ARRIVAL_S
        while True:
            self.town.processes.check()
            calls = open_store(self.store).scan(since, None).collect()
            there = dict(calls.group_by("vantage").len().iter_rows())
            # An answer that nobody waits for any more is still being made: its service counts it already.
            served = there.get("server", 0) >= self.town.counts()["calls"]
            sent = there.get("proxy_out", 0) >= sum(hop.made for hop in self.town.traffic().values())
            complete = entry_calls(calls).height >= len(self.plan) and sent and served
            if complete or time.monotonic() > deadline:
                return calls
            time.sleep(1.0)


def run_demo(folder: Path, settings: DemoSettings) -> bool:
    """Run the whole demo into `folder`; True where what the users saw and what the store holds agree.

    Raises DemoError naming the part that failed. Every child has ended on return, whatever happened.
    """
    _prepare(folder)
    with Processes(folder / "logs") as processes:
        town = Town.plan(settings, processes, folder / "store")
        demo = Demo(settings, folder, town, plan_load(settings), out(), err())
        demo.say(f"starting the collector, {len(town.replicas)} replicas of 4 services and an Envoy in front of each service")
        town.start()
        runs = _three_runs(demo)
    return _conclude(demo, runs)


def _three_runs(demo: Demo) -> list[Run]:
    config = write_config(demo.folder / "meshslo.toml", demo.settings)
    bootstraps = {service: proxy.write(_made(demo.folder / "mesh" / "before")) for service, proxy in demo.town.proxies.items()}
    demo.say("run 1 of 3: a 3 s timeout on streams, blanket retries at two layers")
    runs = [demo.run("before", bootstraps)]
    for number, name in ((2, "explore"), (3, "tightened")):
        window, now = (runs[-1].since, runs[-1].until), bootstraps
        advice = advise(demo.store, window, config, now)
        _present(demo, runs[-1], advice, name)
        bootstraps = advice.write_envoy(_made(demo.folder / "mesh" / name))
        predicted = predict(demo.store, window, now, bootstraps)
        demo.say(f"run {number} of 3: the same load under the recommended mesh, '{name}'")
        runs.append(demo.run(name, bootstraps, advice.promised_rate, predicted))
    advice.write(demo.folder)
    return runs


def _present(demo: Demo, run: Run, advice: Advice, name: str) -> None:
    show_report(advice, f"What run '{run.name}' was like (meshslo report --by hop,model)", demo.results)
    show_recommendations(advice, f"What it justifies: '{name}' (meshslo recommend)", demo.results)


def _conclude(demo: Demo, runs: list[Run]) -> bool:
    write_runs(runs, demo.folder / "runs.json")
    write_pictures(demo.store, runs, demo.settings, demo.folder)
    demo.results.print(runs_table(runs, demo.results))
    for run in runs:
        if run.lag_s > BUSY_S:
            demo.say(
                f"[bold yellow]run '{run.name}': this machine was busy[/], it woke {run.lag_s:.2f} s late: compare with care"
            )
    differences = [f"run '{run.name}': {what}" for run in runs for what in disagreements(run.users, run.store)]
    for difference in differences:
        demo.say(f"[bold red]users and store disagree[/]: {difference}")
    if not differences:
        demo.say("what the users saw and what the store holds agree in every count of every run")
    demo.say(f"store, recommendations.json, istio/, envoy/, runs.json and report.html are in {demo.folder}")
    return not differences


def _prepare(folder: Path) -> None:
    """An empty folder, or one of an earlier demo without its results; DemoError for any other, which is left alone."""
    mark = folder / MARK
    foreign = sorted(path.name for path in folder.iterdir()) if folder.exists() and not mark.exists() else []
    if foreign:
        raise DemoError(f"{folder} holds {foreign[0]} and is no earlier demo's: pass --out with a new directory")
    for name in RESULTS:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    _made(folder)
    mark.touch()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
