"""Exact growth where steps hide something: those in which a process restarted or was first scraped are read as scraped.

Within a step a process may restart and count past its old value unseen, and what it counted before it went is lost. The
server, which sees every sample, says where that was. What a process counts between its first scrape and the end of that step
shows only between the scrapes, too. Everything else a difference of two values tells, however long the step.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from .api import Prometheus, Series, Steps, matches, selector
from .increase import Bools, Floats, Increase, Ints, last_seen
from .matrix import MEMORY_S, TARGET, UP, Labels, Matrix, as_scraped, first_up, scraped

_LONGEST_MATCH: Final = 2_000
"""Letters of the matchers that name processes; where more would be needed all are asked for."""


@dataclass(frozen=True)
class Asked:
    """What was asked for: the series (names, matchers), and the steps."""

    names: tuple[str, ...]
    match: str
    steps: Steps

    def selectors(self, *matchers: str) -> list[str]:
        """Of its series that these choose, by name."""
        return [selector(name, self.match, *matchers) for name in self.names]

    def raw(self, api: Prometheus, run: "Run") -> list[Series]:
        """Every sample that its series have in the run."""
        return [one for query in self.selectors(*run.matchers()) for one in run.raw(api, query, self.steps)]


Process = tuple[tuple[str, str], ...]
"""The labels that name it, and their values."""
Hidden = Mapping[Process, set[int]]
"""Of each process the steps that hide something."""


class Run(NamedTuple):
    """Steps [first, last], and the processes to read again in them."""

    first: int
    last: int
    processes: tuple[Process, ...]

    def matchers(self, labels: tuple[str, ...] = TARGET) -> tuple[str, ...]:
        """What chooses its processes, by those of `labels` that all of them have, and maybe others."""
        named = [dict(process) for process in self.processes]
        shared = [label for label in labels if all(label in one for one in named)]
        chosen = tuple(matches(label, sorted({one[label] for one in named})) for label in shared)
        return chosen if sum(map(len, chosen)) <= _LONGEST_MATCH else ()

    def raw(self, api: Prometheus, selector: str, steps: Steps) -> list[Series]:
        """Every sample of the series of `selector` that was scraped in its steps."""
        end_s = steps.since_s + (self.last + 1) * steps.step_s
        return api.raw(selector, end_s, (self.last + 1 - self.first) * steps.step_s)


@dataclass(frozen=True)
class Witness:
    """The series that restarts show in: its selector, or a subquery of so many seconds of an expression."""

    query: str
    subquery_s: int | None = None

    def over(self, length_s: int) -> str:
        """Its values of so many seconds, for a function over time."""
        return f"{self.query}[{length_s}s]" if self.subquery_s is None else f"{self.query}[{length_s}s:{self.subquery_s}s]"

    def restarts(self, api: Prometheus, steps: Steps) -> Hidden:
        """Steps in which a value fell, between two samples of the step or from the last before it to its first."""
        within, before = self.over(steps.step_s), f"{self.over(_before_s(steps))} offset {steps.step_s}s"
        asked = f"resets({within}) > 0 or min_over_time({within}) < last_over_time({before})"
        return steps_of(((one.metric, one.points[:, 0]) for one in api.range(asked, steps)), steps)


def process_of(labels: Labels) -> Process:
    """The process that the series of these labels come from."""
    return tuple((label, labels[label]) for label in TARGET if label in labels)


def steps_of(points: Iterable[tuple[Labels, Floats | Sequence[float]]], steps: Steps) -> dict[Process, set[int]]:
    """Of each process the steps at whose ends its series have points; points: labels and times of each series."""
    found: defaultdict[Process, set[int]] = defaultdict(set)
    for labels, times_s in points:
        column = np.round((np.asarray(times_s) - steps.since_s) / steps.step_s).astype(np.int64)
        found[process_of(labels)] |= set((column - 1).tolist()) - {-1}
    return found


def scraped_within(api: Prometheus, groups: Sequence[Labels], run: Run, steps: Steps) -> Floats:
    """When each of the `targets` of `groups` was first scraped within the run, to the sample; inf where it was not."""
    return first_up(groups, run.raw(api, selector("up", *run.matchers(UP)), steps))


def known_since(api: Prometheus, matrix: Matrix, steps: Steps) -> Floats:
    """From when on each of the `targets` is known to have been scraped, to a step; inf for one that has no samples."""
    known_s = np.full(int(matrix.target.max(initial=-1)) + 1, np.inf)
    seen = ~np.isnan(matrix.values)
    np.minimum.at(known_s, matrix.target, np.where(seen.any(axis=1), matrix.times_s[seen.argmax(axis=1)], np.inf))
    if not matrix.increase().begins.any():
        return known_s
    return np.asarray(np.minimum(known_s, scraped(api, matrix.groups, steps)))


def hidden(matrix: Matrix, found: Increase, steps: Steps, *told: Hidden) -> dict[Process, set[int]]:
    """The steps that hide something as the values show, and those that were `told`."""
    merged: defaultdict[Process, set[int]] = defaultdict(set)
    for one in (marked(matrix, found.restarts | found.begins | back(matrix, steps)), *told):
        for process, columns in one.items():
            merged[process] |= columns
    return merged


def marked(matrix: Matrix, marks: Bools) -> dict[Process, set[int]]:
    """Of each process the steps in which any of its rows has a mark."""
    found: defaultdict[Process, set[int]] = defaultdict(set)
    processes = [process_of(labels) for labels in matrix.groups]
    for row, column in zip(*np.nonzero(marks), strict=True):
        found[processes[matrix.group[row]]].add(int(column))
    return found


def _before_s(steps: Steps) -> int:
    """How far before a step its last sample is looked for."""
    return max(MEMORY_S, steps.step_s)


def back(matrix: Matrix, steps: Steps) -> Bools:
    """Steps in which a series is back after so long that the server was not asked for what was before."""
    seen = ~np.isnan(matrix.values)
    column = np.arange(seen.shape[1])
    last = np.maximum.accumulate(np.where(seen, column, -1), axis=1)[:, :-1]
    missed = column[1:] - 1 - last
    return np.asarray(seen[:, 1:] & (last >= 0) & (missed >= _before_s(steps) // steps.step_s), dtype=bool)


def runs_of(found: Hidden) -> Iterator[Run]:
    """Neighbouring steps of a process together, and processes that share them."""
    sharing: defaultdict[tuple[int, int], list[Process]] = defaultdict(list)
    for process, columns in found.items():
        ordered = np.array(sorted(columns), dtype=np.int64)
        for part in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1):
            if len(part):
                sharing[int(part[0]), int(part[-1])].append(process)
    for (first, last), processes in sorted(sharing.items()):
        yield Run(first, last, tuple(sorted(processes)))


def mended(api: Prometheus, asked: Asked, matrix: Matrix, told: Hidden) -> Increase:
    """The growth of `matrix`, exact also in steps in which a process restarted (`told` by a `Witness`) or was first scraped."""
    known_s = known_since(api, matrix, asked.steps)
    found = matrix.increase(known_s)
    runs = list(runs_of(hidden(matrix, found, asked.steps, told)))
    if not runs:
        return found
    rows = {key: row for row, key in enumerate(matrix.keys())}
    again = [_read_again(api, asked, run, rows) for run in runs]
    for one in again:
        # Of an edge that was spelled in two ways within a step, the later value is the larger one but after a restart.
        matrix.values[one.row, one.run.last + 1] = last_seen(one.values)[:, -1]
    found = matrix.increase(known_s)
    exact = Increase(found.counts.copy(), found.restarts, found.begins, found.before.copy())
    for one in again:
        begins = found.begins[one.row, one.run.first : one.run.last + 1].any(axis=1)
        first_s = scraped_within(api, matrix.groups, one.run, asked.steps) if begins.any() else known_s
        _replace(exact, matrix, one, np.minimum(known_s, first_s))
    return exact


@dataclass(frozen=True, eq=False)
class _Again:
    """The raw samples of a run, by the rows that they are in the matrix of the steps."""

    run: Run
    row: Ints
    times_s: Floats
    values: Floats


def _read_again(api: Prometheus, asked: Asked, run: Run, rows: Mapping[tuple[object, ...], int]) -> _Again:
    raw = as_scraped(asked.raw(api, run))
    # What arrived after the steps were asked for is not known there, and left to the next pull.
    place = [(rows[key], at) for at, key in enumerate(raw.keys()) if key in rows]
    row, at = np.array(sorted(place), dtype=np.int64).reshape(-1, 2).T
    return _Again(run, row, raw.times_s, raw.values[at])


def _replace(exact: Increase, matrix: Matrix, one: _Again, known_s: Floats) -> None:
    """Put the growth between raw samples in place of that between steps; the first follows the last value before the run."""
    first, row = one.run.first, one.row
    before = last_seen(matrix.values[row, : first + 1])[:, -1:]
    times_s = np.concatenate([matrix.times_s[first : first + 1], one.times_s])
    found = Matrix(times_s, np.hstack([before, one.values]), matrix.group[row], matrix.edge[row], matrix.groups).increase(
        known_s
    )
    column = np.searchsorted(matrix.times_s, one.times_s - 1e-3) - 1
    for step in range(first, one.run.last + 1):
        exact.counts[row, step] = found.counts[:, column == step].sum(axis=1)
    begins = exact.begins[row, first : one.run.last + 1].any(axis=1)
    exact.before[row[begins]] = found.before[begins]
