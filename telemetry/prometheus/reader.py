"""What a server has of the profiles' metrics, and all of it in slices of time that it will answer."""

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.errors import SourceError

from .api import MAX_POINTS, Prometheus, Steps, TooMuchError, selector
from .classic import Found, Reading, read_classic, read_counter
from .native import read_native
from .profile import Histogram, Metric, Profile

SAMPLES_A_SLICE: Final = 3_000_000
"""How much is asked for at a time: a second of work for the server, some hundred MiB here, a step of the progress bar."""
SAMPLES_A_NATIVE: Final = 60
"""What a point of a native histogram weighs in these: its buckets."""
LONGEST_SLICE_S: Final = 86_400
"""However few steps there are: the server goes through every sample in them."""
_LOOKS: Final = 64
"""At how many times it is counted how many series there are."""
_AHEAD: Final = 2
"""Slices under way at once: the server works on one while another is being read here."""


@dataclass(frozen=True)
class Slice:
    """All series that were counted in `steps`, as rows of the metric store but for `source`."""

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
    waiting: deque[Future[list[Slice]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for part in slices(api, found, steps):
            waiting.append(pool.submit(_read_slice, api, found, part))
            if len(waiting) == _AHEAD:
                yield from _result(waiting)
        while waiting:
            yield from _result(waiting)


def _result(waiting: deque[Future[list[Slice]]]) -> list[Slice]:
    """The oldest slice; when it failed, those after it are not waited for."""
    try:
        return waiting.popleft().result()
    except BaseException:
        for future in waiting:
            future.cancel()
        raise


def slices(api: Prometheus, found: Sequence[Found], steps: Steps) -> Iterator[Steps]:
    """`steps` in parts of at most a day that hold about SAMPLES_A_SLICE samples each, by how many series there are when."""
    stride = max(1, -(-steps.count // _LOOKS))
    looks = Steps(steps.since_s, steps.step_s * stride, -(-steps.count // stride))
    samples = sum((_series(api, one, looks) for one in found), np.zeros(looks.count + 1))
    at_each = np.repeat(np.maximum(samples[:-1], samples[1:]), stride)[: steps.count]
    number = np.floor(np.cumsum(at_each) / SAMPLES_A_SLICE)
    longest = np.arange(steps.count) // max(1, min(MAX_POINTS - 1, LONGEST_SLICE_S // steps.step_s))
    edges = np.flatnonzero((np.diff(number) != 0) | (np.diff(longest) != 0)) + 1
    bounds = [0, *edges.tolist(), steps.count]
    for first, end in itertools.pairwise(bounds):
        yield Steps(steps.since_s + first * steps.step_s, steps.step_s, end - first)


def _series(api: Prometheus, found: Found, looks: Steps) -> NDArray[np.float64]:
    """How many samples of a metric there are at each of `looks`."""
    classic = isinstance(found.metric, Histogram) and not found.native
    counted = api.range(f"count({selector(found.name + '_bucket' * classic, found.metric.match)})", looks)
    number = np.zeros(looks.count + 1)
    for one in counted:
        number[np.round((one.points[:, 0] - looks.since_s) / looks.step_s).astype(np.int64)] = one.points[:, 1]
    return number * (SAMPLES_A_NATIVE if found.native else 1)


def _read_slice(api: Prometheus, found: Sequence[Found], part: Steps) -> list[Slice]:
    """One slice; halved as long as the server finds it too much."""
    try:
        readings = [_read(api, one, part) for one in found]
    except TooMuchError:
        if part.count == 1:
            raise
        half = part.count // 2
        parts = (
            Steps(part.since_s, part.step_s, half),
            Steps(part.since_s + half * part.step_s, part.step_s, part.count - half),
        )
        return [found_slice for one in parts for found_slice in _read_slice(api, found, one)]
    notes = tuple(dict.fromkeys(note for one in readings for note in one.notes))
    return [Slice(part, pl.concat([one.rows for one in readings], how="diagonal_relaxed"), notes)]


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
