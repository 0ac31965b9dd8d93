"""Answers of the library to one store, window and version of what is in it, kept until one of these changes."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
import streamlit as st

from meshslo.analysis.access import Tenants
from meshslo.analysis.api import CallStore, open_store
from meshslo.analysis.canary import Arms, Canary
from meshslo.analysis.comparison import Compared
from meshslo.analysis.config import Config
from meshslo.analysis.doctor import Diagnosis
from meshslo.analysis.paths import Chain
from meshslo.analysis.policy.deployed import Deployed, read_deployed
from meshslo.analysis.rates import token_rates
from meshslo.analysis.recommend import Observed, Recommendations, recommend
from meshslo.analysis.resilience import Resilience
from meshslo.analysis.rollup import Rollup
from meshslo.analysis.security import Security
from meshslo.analysis.simulate import Mesh, Simulation
from meshslo.analysis.slo.status import SloReport
from meshslo.analysis.streams import cut_reasons, stream_costs
from meshslo.analysis.tenants import of_tenants
from meshslo.dashboards.inputs import read_config, read_manifests
from meshslo.telemetry.store.layout import open_layout
from meshslo.telemetry.vocabulary import Phase

from .filters import Filters
from .start import Start

KEPT: Final = 16
KEPT_S: Final = 600
"""Answers of a kind that are kept, and for how long: a store that is being written makes old ones useless soon."""

_NOT_CALLS: Final = (".lock", "counted.arrow", "folds")
"""Files and folders that change no answer."""


@dataclass(frozen=True)
class Asked:
    """A store as it was started with, the version of what it holds, a window of time, and the tenants that may be seen.

    Every answer is to all of it: what is kept for one reader is not shown to another who may see less.
    """

    start: Start
    version: str
    since: datetime | None = None
    until: datetime | None = None
    tenants: Tenants = None


@dataclass(frozen=True)
class Sides:
    """What is compared: values `a` and `b` of a key; or the window, from `since` where it is given, with the baseline."""

    key: str | None = None
    a: str = ""
    b: str = ""
    baseline: tuple[datetime, datetime] | None = None
    since: datetime | None = None


def version_of(start: Start, now: datetime) -> str:
    """What changes when the store's calls, the config or the manifests change; of a store on a server, the minute.

    StoreError where there is no store.
    """
    lines = [line for path in (start.config or "meshslo.toml", *start.current) for line in _files(Path(path))]
    if start.store.startswith(("clickhouse:", "chdb:")):
        lines.append(f"{now:%Y-%m-%dT%H:%M}")
    else:
        lines += _files(open_layout(Path(start.store)).root)
    return hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


def _files(root: Path) -> Iterator[str]:
    """The files at and below a path that answers may depend on, with their sizes and times."""
    folders: list[Path | os.DirEntry[str]] = [root]
    for each in folders:
        try:
            entries = list(os.scandir(each)) if each.is_dir() else [each]
            for entry in entries:
                if isinstance(entry, os.DirEntry) and entry.is_dir():
                    folders += [entry] if entry.name not in _NOT_CALLS else []
                elif not entry.name.endswith(_NOT_CALLS):
                    about = entry.stat()
                    yield f"{os.fspath(entry)} {about.st_size} {about.st_mtime_ns}\n"
        except FileNotFoundError:
            # A collector has just merged it into another, which the next look finds.
            continue


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def opened(asked: Asked) -> CallStore:
    """The store, for reading, with the config's limits; of it the tenants that may be seen. All calls are read through it."""
    store = open_store(asked.start.store, limits=config(asked).limits)
    return store if asked.tenants is None else of_tenants(store, asked.tenants)


def shown(asked: Asked, filters: Filters, *, whole_traces: bool = False) -> CallStore:
    """The calls that are shown, as a store: those that the filters choose, or all of the traces that hold such a call."""
    store = opened(asked)

    def scan(since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        every = store.scan(since, until)
        chosen = every.filter(filters.condition())
        if whole_traces and filters.keys():
            return every.join(chosen.select("trace_id").unique(), on="trace_id", how="semi")
        return chosen

    return CallStore(scan, store.name, store.limits)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def config(asked: Asked) -> Config:
    """The config as it is now, without objectives on tenants that may not be seen."""
    found = read_config(asked.start.config_path)
    if asked.tenants is None:
        return found
    shown = tuple(each for each in found.slo if each.tenant in (None, *asked.tenants))
    return found.model_copy(update={"slo": shown})


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def manifests(asked: Asked) -> dict[str, str]:
    """The manifests in use, by name."""
    return read_manifests(Path(path) for path in asked.start.current)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def extent(asked: Asked) -> tuple[datetime, datetime]:
    """First and last start of a call in the window; StoreError where it holds none."""
    return opened(asked).extent(asked.since, asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Counting calls ...")
def rollup(asked: Asked, phase: Phase, keys: tuple[str, ...], bucket: str | None) -> Rollup:
    """The rollup of one phase, without exact extremes, as `report` asks for it."""
    store = opened(asked)
    return store.rollup(by=keys, bucket=bucket, phases=[phase], since=asked.since, until=asked.until, extremes=False)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Looking at calls ...", show_time=True)
def observed(asked: Asked, budget: float | None) -> Observed:
    """The evidence that recommendations rest on; `budget` in the place of the config's false-timeout budget.

    StoreError where the window holds metrics and no single calls.
    """
    store, settings = opened(asked), config(asked)
    if budget is not None:
        objectives = settings.objectives.model_copy(update={"false_timeout_ratio": budget})
        hops = {name: hop.model_copy(update={"false_timeout_ratio": None}) for name, hop in settings.hops.items()}
        settings = settings.model_copy(update={"objectives": objectives, "hops": hops})
    deployed = _deployed(asked, settings)
    return store.observe(settings, deployed, since=asked.since, until=asked.until, needs_calls=True)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Working out recommendations ...", show_time=True)
def recommendations(asked: Asked, budget: float | None) -> Recommendations:
    """What the calls of the window justify."""
    return recommend(observed(asked, budget))


def _deployed(asked: Asked, settings: Config) -> Deployed:
    return read_deployed(manifests(asked), model_header=settings.emit.model_header)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Following traces ...")
def chain(asked: Asked, filters: Filters) -> Chain:
    """What each hop takes of whole traces."""
    return shown(asked, filters, whole_traces=True).chain(since=asked.since, until=asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Counting streams ...")
def streams(asked: Asked, filters: Filters, by: tuple[str, ...]) -> pl.DataFrame:
    """What streams cost."""
    return stream_costs(shown(asked, filters).scan(asked.since, asked.until), by)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def cuts(asked: Asked, filters: Filters, by: tuple[str, ...]) -> pl.DataFrame:
    """What cut calls."""
    return cut_reasons(shown(asked, filters).scan(asked.since, asked.until), by)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner=False)
def rates(asked: Asked, filters: Filters, by: tuple[str, ...]) -> pl.DataFrame:
    """How fast streams deliver."""
    return token_rates(shown(asked, filters).scan(asked.since, asked.until), by)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Comparing ...")
def comparison(asked: Asked, filters: Filters, sides: Sides, phase: Phase) -> Compared:
    """How B differs from A, each hop for itself."""
    a, b = (None if sides.key is None else {sides.key: value} for value in (sides.a, sides.b))
    store = shown(asked, filters)
    since = sides.since or asked.since
    return store.compare(a, b, by=("hop",), phases=(phase,), since=since, until=asked.until, baseline=sides.baseline)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Replaying calls ...", show_time=True)
def simulation(asked: Asked, budget: float | None) -> Simulation:
    """What the window's calls would become under the recommendations at a budget, by hop."""
    settings = config(asked)
    current = Mesh(_deployed(asked, settings)) if manifests(asked) else None
    found = recommendations(asked, budget)
    return opened(asked).simulate(found, current=current, config=settings, since=asked.since, until=asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Looking at loads, pods and zones ...", show_time=True)
def resilience(asked: Asked) -> Resilience:
    """What load does, which pods are broken or slow, calls by zone."""
    return opened(asked).resilience(config=config(asked), since=asked.since, until=asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Comparing calls ...")
def canary(asked: Asked, filters: Filters, arms: Arms) -> Canary:
    """Whether the candidate may have more traffic."""
    return shown(asked, filters).canary(arms, since=asked.since, until=asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Judging calls ...")
def objectives(asked: Asked, each: tuple[str, ...]) -> SloReport:
    """How the config's objectives stand at the window's end; once for each value of the keys `each`."""
    return opened(asked).slo(config(asked), at=asked.until, each=each)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Examining calls ...")
def diagnosis(asked: Asked) -> Diagnosis:
    """What `doctor` says."""
    return opened(asked).doctor(since=asked.since, until=asked.until)


@st.cache_resource(max_entries=KEPT, ttl=KEPT_S, show_spinner="Looking at callers ...")
def security(asked: Asked) -> Security:
    """Who calls whom, and what is exposed."""
    return opened(asked).security(config=config(asked), since=asked.since, until=asked.until)
