"""What a server has of the profiles' metrics, and all of it in slices of time that it will answer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from meshslo.telemetry.errors import SourceError

from .api import MAX_POINTS, Prometheus, Steps, TooMuchError
from .classic import Found, Reading, read_classic, read_counter
from .native import read_native
from .profile import Histogram, Metric, Profile

SAMPLES_A_SLICE: Final = 3_000_000
"""How much is asked for at a time: seconds of work for the server, some hundred MiB here, and a step of the progress bar."""
_FIRST_STEPS: Final = 30
_GROWTH: Final = 8


@dataclass(frozen=True)
class Slice:
    """Every row that was counted in `steps`."""

    steps: Steps
    rows: pl.DataFrame
    notes: tuple[str, ...]


def find(api: Prometheus, profiles: Sequence[Profile], since_s: int, until_s: int) -> list[Found]:
    """The metrics of `profiles` that the server has samples of in the window, each under the name it goes by there.

    A metric that is there as a native and as a classic histogram is read as the native one, which is finer.
    """
    wanted = [(profile, metric) for profile in profiles for metric in (*profile.histograms, *profile.counters)]
    there = api.names(sorted({name for _, metric in wanted for name in _spellings(metric)}), since_s, until_s)
    return [found for profile, metric in wanted for found in _as_found(profile, metric, there)]


def read_slices(api: Prometheus, found: Sequence[Found], steps: Steps) -> Iterator[Slice]:
    """`found` over all of `steps`, the oldest first, in slices as long as the server and memory allow.

    Each slice reads the point at its beginning as the baseline of its first step, so no growth is lost between two slices,
    or counted in both.
    """
    at_s, count = steps.since_s, _FIRST_STEPS
    while at_s < steps.until_s:
        part = Steps(at_s, steps.step_s, min(count, (steps.until_s - at_s) // steps.step_s))
        try:
            readings = [_read(api, one, part) for one in found]
        except TooMuchError:
            if part.count == 1:
                raise
            count = part.count // 2
            continue
        yield Slice(part, pl.concat([one.rows for one in readings], how="diagonal_relaxed"), _notes(readings))
        at_s = part.until_s
        count = _next_count(part.count, sum(one.samples for one in readings))


def _next_count(count: int, samples: int) -> int:
    """How many steps to ask for after `count` of them came with so many samples."""
    fitting = count * SAMPLES_A_SLICE // max(samples, 1)
    return max(1, min(fitting, count * _GROWTH, MAX_POINTS - 1))


def _read(api: Prometheus, found: Found, steps: Steps) -> Reading:
    try:
        if not isinstance(found.metric, Histogram):
            return read_counter(api, found, steps)
        return read_native(api, found, steps) if found.native else read_classic(api, found, steps)
    except TooMuchError as error:
        raise TooMuchError(f"{error}, while reading {found.name}") from error
    except SourceError as error:
        raise SourceError(f"{error} (while reading {found.name})") from error


def _spellings(metric: Metric) -> Iterator[str]:
    """The names a series of it may have."""
    for name in metric.names:
        yield name
        if isinstance(metric, Histogram):
            yield f"{name}_bucket"


def _as_found(profile: Profile, metric: Metric, there: set[str]) -> Iterator[Found]:
    for name in metric.names:
        if name in there:
            yield Found(profile, metric, name, native=isinstance(metric, Histogram))
        elif f"{name}_bucket" in there and isinstance(metric, Histogram):
            yield Found(profile, metric, name)


def _notes(readings: Sequence[Reading]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for one in readings for note in one.notes))
