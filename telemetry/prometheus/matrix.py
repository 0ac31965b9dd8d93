"""Answers of the server as arrays: a row a series, a column a time.

Of each step the last sample is asked for (`last_over_time`), not the value at its end: that of a process that ended in the
step is gone by then, and with it what had been counted since the step before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from .api import Points, Prometheus, Sample, Series, Steps, matches, points_of
from .increase import Floats, Increase, Ints, increase

MEMORY_S: Final = 3600
"""How far back a series that has no sample at the beginning of a slice is looked for."""
TARGET: Final = ("job", "instance", "pod")
"""Labels that name the process that was scraped."""

UP: Final = ("job", "instance")
"""Those of them that `up` has in any case."""

Labels = Mapping[str, str]
Identity = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """values: series by time, NaN where there is no sample. Rows are ordered by group, in it by edge.

    groups: labels of each group (a histogram, or a counter by itself) without `le` and the name. edge: upper edge of a
    row's bucket as exported (NaN for a histogram's sum, and a counter). times_s: of the columns, seconds since the epoch.
    """

    times_s: Floats
    values: Floats
    group: Ints
    edge: Floats
    groups: list[Labels]

    @cached_property
    def target(self) -> Ints:
        """Number of the scraped process of each row."""
        return targets(self.groups)[self.group]

    def increase(self, known_s: Floats | None = None) -> Increase:
        """Growth from column to column; known_s: from when on each target is known to have been scraped, inf if it is not."""
        known = None if known_s is None else known_s[:, None] < self.times_s[1:]
        return increase(self.values, self.group, self.target, known)

    def keys(self) -> list[tuple[object, ...]]:
        """What tells the rows apart, in any matrix of the same metric."""
        identities = [identity_of(labels) for labels in self.groups]
        return [(identities[group], _key(edge)) for group, edge in zip(self.group, self.edge, strict=True)]


def at_steps(api: Prometheus, selectors: Sequence[str], steps: Steps) -> Matrix:
    """The last value of each series of `selectors` in each of `steps`, and before them: the latest of the hour before."""
    series = [one for chosen in selectors for one in api.range(f"last_over_time({chosen}[{steps.step_s}s])", steps)]
    matrix = as_matrix(series, points_of(series), times_of(steps))
    if np.isnan(matrix.values[:, 0]).any():
        earlier = (api.at(f"last_over_time({chosen}[{MEMORY_S}s])", steps.since_s) for chosen in selectors)
        _recall(matrix, [sample for samples in earlier for sample in samples])
    return matrix


def as_scraped(series: Sequence[Series]) -> Matrix:
    """Raw samples: a column for each time that any of the series was scraped at."""
    points = points_of(series)
    return as_matrix(series, points, np.unique(np.concatenate([np.empty(0), *(one[:, 0] for one in points)])))


def times_of(steps: Steps) -> Floats:
    """Of each of `steps`, both ends included."""
    return steps.since_s + steps.step_s * np.arange(steps.count + 1, dtype=np.float64)


def targets(groups: Sequence[Labels]) -> Ints:
    """A number for the scraped process of each group; the same for all groups that do not name theirs."""
    names = [tuple(labels.get(label) for label in TARGET) for labels in groups]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


def scraped(api: Prometheus, groups: Sequence[Labels], steps: Steps) -> Floats:
    """The end of the first step in which Prometheus scraped each of the `targets` of `groups`, by its own series `up`.

    inf for a target that has no `up`, as where metrics are pushed.
    """
    jobs = sorted({labels["job"] for labels in groups if "job" in labels})
    asked = f"max_over_time(up{{{matches('job', jobs)}}}[{steps.step_s}s]) == 1"
    return first_up(groups, api.range(asked, steps) if jobs else [])


def first_up(groups: Sequence[Labels], series: Sequence[Series]) -> Floats:
    """The first time at which `series` of `up` have a 1, for each of the `targets` of `groups`; inf where they have none."""
    number = targets(groups)
    first_s = np.full(int(number.max(initial=-1)) + 1, np.inf)
    found: dict[tuple[str | None, ...], float] = {}
    for one, points in zip(series, points_of(series), strict=True):
        key = tuple(one.metric.get(label) for label in UP)
        found[key] = min(found.get(key, np.inf), points[points[:, 1] == 1.0, 0].min(initial=np.inf))
    for labels, target in zip(groups, number, strict=True):
        first_s[target] = found.get(tuple(labels.get(label) for label in UP), np.inf)
    return first_s


def as_matrix(series: Sequence[Series], points: Sequence[Points], times_s: Floats) -> Matrix:
    """The points of `series` in the columns of their times, which are among `times_s`."""
    identities = [identity_of(one.metric) for one in series]
    number = {identity: place for place, identity in enumerate(dict.fromkeys(identities))}
    edges = [float(one.metric.get("le", "nan")) for one in series]
    # An edge that was once written "1" and later "1.0" makes two series of one row.
    rows = {key: row for row, key in enumerate(dict.fromkeys(zip(identities, map(_key, edges), strict=True)))}
    values = np.full((len(rows), len(times_s)), np.nan)
    for identity, edge, one in zip(identities, edges, points, strict=True):
        # A series with a point at every time needs no search; most are.
        column = slice(None) if len(one) == len(times_s) else np.searchsorted(times_s, one[:, 0] - 1e-3)
        row = values[rows[identity, _key(edge)]]
        row[column] = np.fmax(row[column], one[:, 1])
    group = np.array([number[identity] for identity, _ in rows], dtype=np.int64)
    edge_of = np.array([np.nan if edge is None else edge for _, edge in rows])
    order = np.lexsort((edge_of, group))
    return Matrix(times_s, values[order], group[order], edge_of[order], [dict(identity) for identity in number])


def _recall(matrix: Matrix, known: Sequence[Sample]) -> None:
    """Fill the first column from instant values where it is empty."""
    earlier = {
        (identity_of(sample.metric), float(sample.metric.get("le", "nan"))): sample.value for sample in known if sample.value
    }
    if not earlier:
        return
    identities = [tuple(sorted(labels.items())) for labels in matrix.groups]
    latest = {(identity, _key(edge)): float(value[1]) for (identity, edge), value in earlier.items()}
    for row in np.flatnonzero(np.isnan(matrix.values[:, 0])):
        found = latest.get((identities[matrix.group[row]], _key(matrix.edge[row])))
        matrix.values[row, 0] = np.nan if found is None else found


def _key(edge: float) -> float | None:
    """NaN is not equal to itself; None is."""
    return None if np.isnan(edge) else float(edge)


def identity_of(metric: Labels) -> Identity:
    """What tells a histogram or counter from others of its metric."""
    return tuple(sorted((name, value) for name, value in metric.items() if name not in ("__name__", "le")))
