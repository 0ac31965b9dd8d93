"""Exact growth across restarts: the steps that hold one are read again as they were scraped.

At steps of minutes a process may restart and count past its old value unseen, and what it counted before it went is lost.
`resets()` on the server, which sees every sample, says where that was.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .api import Prometheus, Steps, selector
from .increase import Floats, Increase
from .matrix import LOOKBACK_S, Labels, Matrix, as_scraped, process_matchers


class Run(NamedTuple):
    """Steps [first, last] of a process, by the labels of one of its groups, in which it restarted."""

    labels: Labels
    first: int
    last: int


class Asked(NamedTuple):
    """What was asked for: the series (name, matchers), the one that restarts show in, and the steps."""

    name: str
    witness: str
    match: str
    steps: Steps


def mended(api: Prometheus, asked: Asked, matrix: Matrix) -> Increase:
    """The growth of `matrix`, exact also in steps in which a process restarted."""
    found = matrix.increase
    counts = found.counts.copy()
    for run in _runs(_restarted(api, asked, matrix, found)):
        _replace(counts, matrix, _raw(api, asked, run), run, asked.steps)
    return Increase(counts, found.restarts, found.before)


def _restarted(
    api: Prometheus, asked: Asked, matrix: Matrix, found: Increase
) -> dict[tuple[str, ...], tuple[Labels, set[int]]]:
    """Process -> (labels of one of its groups, steps with a restart), as the values show and as the server says."""
    steps: dict[tuple[str, ...], tuple[Labels, set[int]]] = {}
    for row, column in zip(*np.nonzero(found.restarts), strict=True):
        labels = matrix.groups[matrix.group[row]]
        steps.setdefault(process_matchers(labels), (labels, set()))[1].add(int(column))
    window_s = asked.steps.step_s + LOOKBACK_S
    said = api.range(f"resets({selector(asked.witness, asked.match)}[{window_s}s]) > 0", asked.steps)
    for series in said:
        at = (series.points[:, 0] - asked.steps.since_s) / asked.steps.step_s
        columns = set((np.round(at).astype(np.int64) - 1).tolist())
        steps.setdefault(process_matchers(series.metric), (series.metric, set()))[1].update(columns - {-1})
    return steps


def _runs(restarted: dict[tuple[str, ...], tuple[Labels, set[int]]]) -> Iterator[Run]:
    """Neighbouring steps of a process together."""
    for labels, columns in restarted.values():
        ordered = sorted(columns)
        cuts = np.flatnonzero(np.diff(ordered) > 1) + 1
        for part in np.split(np.array(ordered, dtype=np.int64), cuts):
            if len(part):
                yield Run(labels, int(part[0]), int(part[-1]))


def _raw(api: Prometheus, asked: Asked, run: Run) -> Matrix:
    end_s = asked.steps.since_s + (run.last + 1) * asked.steps.step_s
    length_s = (run.last - run.first + 1) * asked.steps.step_s + LOOKBACK_S
    return as_scraped(api.raw(selector(asked.name, asked.match, *process_matchers(run.labels)), end_s, length_s))


def _replace(counts: Floats, matrix: Matrix, raw: Matrix, run: Run, steps: Steps) -> None:
    """Put the growth between raw samples in place of that between steps, for the rows whose beginning both know."""
    found = raw.increase
    column = np.ceil((raw.times_s[1:] - steps.since_s) / steps.step_s - 1e-9).astype(np.int64) - 1
    rows = {key: row for row, key in enumerate(_keys(matrix))}
    for place, key in enumerate(_keys(raw)):
        row = rows.get(key)
        if row is None or found.before[place]:
            continue
        for step in range(run.first, run.last + 1):
            counts[row, step] = found.counts[place, column == step].sum()


def _keys(matrix: Matrix) -> list[tuple[object, ...]]:
    """What tells the rows apart, in any matrix of the same metric."""
    identities = [tuple(sorted(labels.items())) for labels in matrix.groups]
    return [(identities[group], str(edge)) for group, edge in zip(matrix.group, matrix.edge, strict=True)]
