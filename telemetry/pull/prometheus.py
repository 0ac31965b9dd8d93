"""Prometheus, Thanos, Mimir, VictoriaMetrics: histograms and counters of meshes, inference servers and gateways.

Read by profiles (see `telemetry.prometheus`). Counts are exact growth of each step, not PromQL's extrapolated `increase`.
"""

import re
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.api import Prometheus, Steps
from meshslo.telemetry.prometheus.classic import Found
from meshslo.telemetry.prometheus.profile import Profile, parse_profile
from meshslo.telemetry.prometheus.profiles import chosen
from meshslo.telemetry.prometheus.reader import find, read_slices

from . import Ask, Batch, Puller

LATE_S: Final = 60
"""Samples may arrive this late: what is newer is left for the next pull, or it would be missing from both."""

MINUTE_S: Final = 60
HOUR_S: Final = 3600
BY_MINUTE_S: Final = 26 * HOUR_S
"""Windows up to so long are read by the minute; longer ones by the hour, but for the newest hour and what is left of one."""
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True)
class Settings:
    """What to ask a Prometheus for."""

    profile: tuple[str, ...] = field(
        default=(), metadata={"help": "Only these profiles (repeat), such as istio; else all whose metrics are there."}
    )
    step: str = field(
        default="auto",
        metadata={"help": "Length of a step, such as 60s; auto: 1m up to a day, else 1h and the newest hour by 1m."},
    )
    match: str = field(default="", metadata={"help": 'PromQL matchers to narrow all series by, such as namespace="prod".'})
    config: str = field(default="", metadata={"help": "meshslo.toml with profiles of your own in tables \\[profiles.NAME]."})


def read(ask: Ask) -> Iterator[Batch]:
    """Batches of as many steps as the server answers at once, the oldest first."""
    settings: Settings = ask.settings
    parts = parts_of(ask.since, ask.until, settings.step)
    if not parts:
        return
    since_s, until_s = parts[0].since_s, parts[-1].until_s
    profiles = [_narrowed(one, settings.match) for one in chosen(settings.profile, own_profiles(settings.config))]
    api = Prometheus(ask.server)
    found = find(api, profiles, since_s, until_s)
    if not found:
        known = ", ".join(one.name for one in profiles)
        nothing = f"no metric of the profiles {known} has samples; --config takes profiles of your own"
        yield Batch(_utc(since_s), _utc(until_s), notes=(nothing,))
        return
    notes = (*_first_notes(found), *_how_read(parts))
    for part in (part for steps in parts for part in read_slices(api, found, steps)):
        series = part.rows.with_columns(pl.lit(_source(ask, settings)).alias("source"))
        said, notes = (*notes, *part.notes, *api.notes), ()
        yield Batch(_utc(part.steps.since_s), _utc(part.steps.until_s), series=series, notes=said)


def parts_of(since: datetime, until: datetime, step: str, now_s: float | None = None) -> list[Steps]:
    """The whole steps within [since, until) that can be complete, at multiples of the step since the epoch; none where none is.

    Chosen by itself, a step is a minute; in a window longer than `BY_MINUTE_S` an hour, but for the newest one to two hours.
    """
    since_s, until_s = since.timestamp(), min(until.timestamp(), (time.time() if now_s is None else now_s) - LATE_S)
    if step != "auto" or until_s - since_s <= BY_MINUTE_S:
        parts = [_whole(since_s, until_s, MINUTE_S if step == "auto" else _step_s(step))]
    else:
        edge_s = (until_s - HOUR_S) // HOUR_S * HOUR_S
        parts = [_whole(since_s, edge_s, HOUR_S), _whole(edge_s, until_s, MINUTE_S)]
    return [one for one in parts if one.count]


def _whole(since_s: float, until_s: float, step_s: int) -> Steps:
    first = int(since_s // step_s)
    return Steps(first * step_s, step_s, max(0, int(until_s // step_s) - first))


def _step_s(text: str) -> int:
    given = re.fullmatch(r"(\d+)([smh])", text)
    if given is None or int(given[1]) == 0:
        raise BadConfigError(f"--step {text} is no length of time; write 60s, 5m, 1h or auto")
    return int(given[1]) * _SECONDS[given[2]]


def own_profiles(path: str) -> list[Profile]:
    """The profiles in the tables `[profiles.NAME]` of a config file; none without a `path`; BadConfigError names the key."""
    if not path:
        return []
    try:
        tables = tomllib.loads(Path(path).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadConfigError(f"--config {path} cannot be read: {error}") from error
    return [parse_profile(name, table, where=path) for name, table in tables.get("profiles", {}).items()]


def _narrowed(profile: Profile, match: str) -> Profile:
    if not match:
        return profile

    def both(own: str) -> str:
        return f"{own},{match}" if own else match

    histograms = tuple(one.model_copy(update={"match": both(one.match)}) for one in profile.histograms)
    counters = tuple(one.model_copy(update={"match": both(one.match)}) for one in profile.counters)
    return profile.model_copy(update={"histograms": histograms, "counters": counters})


def _first_notes(found: list[Found]) -> tuple[str, ...]:
    profiles = {one.profile.name: one.profile for one in found}
    there = (f"{name}: {', '.join(one.name for one in found if one.profile.name == name)}" for name in profiles)
    return (f"found {'; '.join(there)}", *(note for profile in profiles.values() for note in profile.notes))


def _how_read(parts: list[Steps]) -> Iterator[str]:
    if len(parts) > 1:
        yield (
            f"read by the hour until {_utc(parts[0].until_s).isoformat()}, then by the minute: every call is counted, "
            "but when within an hour is not known; --step 1m reads all by the minute"
        )


def _source(ask: Ask, settings: Settings) -> str:
    return " ".join(filter(None, (ask.server.url, ask.server.org_id, settings.match)))


def _utc(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


PULLER = Puller("prometheus", Settings, read)
