"""Exact growth where steps hide something: those in which a process restarted or was first scraped are read as scraped.

At steps of minutes a process may restart and count past its old value unseen, and what it counted before it went is lost.
`resets()` on the server, which sees every sample, says where that was. What a process counts between its first scrape and
the end of that step shows only between the scrapes, too.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import numpy as np

from .api import Prometheus, Steps, selector
from .increase import Increase
from .matrix import LOOKBACK_S, Matrix, as_scraped, process_matchers, scraped

_APART: Final = 8
"""Up to so many processes are asked for one by one; more that share their steps in one question."""

Process = tuple[str, ...]
"""The matchers that choose it."""


class Run(NamedTuple):
    """Steps [first, last], and the matchers of the processes to read again in them."""

    first: int
    last: int
    matchers: Process


class Asked(NamedTuple):
    """What was asked for: the series (name, matchers), the one that restarts show in, and the steps."""

    name: str
    witness: str
    match: str
    steps: Steps


def mended(api: Prometheus, asked: Asked, matrix: Matrix) -> Increase:
    """The growth of `matrix`, exact also in steps in which a process restarted or was first scraped."""
    found = matrix.increase()
    if found.begins.any():
        found = matrix.increase(scraped(api, matrix.groups, asked.steps))
    exact = Increase(found.counts.copy(), found.restarts, found.begins, found.before.copy())
    for run in _runs(_hidden(api, asked, matrix, found)):
        _replace(exact, matrix, _raw(api, asked, run), run, asked.steps)
    return exact


def _hidden(api: Prometheus, asked: Asked, matrix: Matrix, found: Increase) -> Mapping[Process, set[int]]:
    """Of each process the steps that hide something, as the values show and as the server says."""
    steps: defaultdict[Process, set[int]] = defaultdict(set)
    for row, column in zip(*np.nonzero(found.restarts | found.begins), strict=True):
        steps[process_matchers(matrix.groups[matrix.group[row]])].add(int(column))
    window_s = asked.steps.step_s + LOOKBACK_S
    said = api.range(f"resets({selector(asked.witness, asked.match)}[{window_s}s]) > 0", asked.steps)
    for series in said:
        at = (series.points[:, 0] - asked.steps.since_s) / asked.steps.step_s
        steps[process_matchers(series.metric)] |= set((np.round(at).astype(np.int64) - 1).tolist()) - {-1}
    return steps


def _runs(hidden: Mapping[Process, set[int]]) -> Iterator[Run]:
    """Neighbouring steps of a process together, and many processes that share them."""
    sharing: defaultdict[tuple[int, int], list[Process]] = defaultdict(list)
    for process, columns in hidden.items():
        ordered = np.array(sorted(columns), dtype=np.int64)
        for part in np.split(ordered, np.flatnonzero(np.diff(ordered) > 1) + 1):
            if len(part):
                sharing[int(part[0]), int(part[-1])].append(process)
    for (first, last), processes in sharing.items():
        yield from (Run(first, last, one) for one in (processes if len(processes) <= _APART else [()]))


def _raw(api: Prometheus, asked: Asked, run: Run) -> Matrix:
    end_s = asked.steps.since_s + (run.last + 1) * asked.steps.step_s
    length_s = (run.last - run.first + 1) * asked.steps.step_s + LOOKBACK_S
    return as_scraped(api.raw(selector(asked.name, asked.match, *run.matchers), end_s, length_s))


def _replace(exact: Increase, matrix: Matrix, raw: Matrix, run: Run, steps: Steps) -> None:
    """Put the growth between raw samples in place of that between steps.

    But where the raw samples begin after a gap, of which the steps know what was before.
    """
    found = raw.increase()
    column = np.ceil((raw.times_s[1:] - steps.since_s) / steps.step_s - 1e-9).astype(np.int64) - 1
    rows = {key: row for row, key in enumerate(_keys(matrix))}
    for place, key in enumerate(_keys(raw)):
        row = rows.get(key)
        if row is None:
            continue
        begins = exact.begins[row, run.first : run.last + 1].any()
        if found.before[place] and not begins:
            continue
        for step in range(run.first, run.last + 1):
            exact.counts[row, step] = found.counts[place, column == step].sum()
        if begins:
            exact.before[row] = found.before[place]


def _keys(matrix: Matrix) -> list[tuple[object, ...]]:
    """What tells the rows apart, in any matrix of the same metric."""
    identities = [tuple(sorted(labels.items())) for labels in matrix.groups]
    return [(identities[group], str(edge)) for group, edge in zip(matrix.group, matrix.edge, strict=True)]
