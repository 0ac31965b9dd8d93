"""Answers of the server as arrays: a row a series, a column a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from .api import Points, Prometheus, Sample, Series, Steps, equals, matches, points_of
from .increase import Bools, Floats, Increase, Ints, increase

LOOKBACK_S: Final = 300
"""How long Prometheus takes a sample for the present value; after that the series is gone."""
MEMORY_S: Final = 3600
"""How far back a series that has no sample at the beginning of a slice is looked for."""
TARGET: Final = ("job", "instance", "pod")
"""Labels that name the process that was scraped."""

_UP: Final = ("job", "instance")
"""Those of them that `up` has in any case."""

Labels = Mapping[str, str]
Identity = tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class Matrix:
    """values: series by time, NaN where there is no sample. Rows are ordered by group, in it by edge.

    groups: labels of each group (a histogram, or a counter by itself) without `le` and the name. edge: upper edge of a
    row's bucket as exported (NaN for a counter). times_s: of the columns, seconds since the epoch.
    """

    times_s: Floats
    values: Floats
    group: Ints
    edge: Floats
    groups: list[Labels]

    def increase(self, up: Bools | None = None) -> Increase:
        """Growth from column to column; `up` as for `increase.increase`, by the numbers of `targets`."""
        return increase(self.values, self.group, targets(self.groups)[self.group], up)


def at_steps(api: Prometheus, selector: str, steps: Steps) -> Matrix:
    """The series of `selector` at `steps`; what is missing at the first of them is its latest value of the hour before."""
    times = steps.since_s + steps.step_s * np.arange(steps.count + 1, dtype=np.float64)
    series = api.range(selector, steps)
    matrix = _matrix(series, points_of(series), times)
    if np.isnan(matrix.values[:, 0]).any():
        _recall(matrix, api.at(f"last_over_time({selector}[{MEMORY_S}s])", steps.since_s))
    return matrix


def as_scraped(series: Sequence[Series]) -> Matrix:
    """Raw samples: a column for each time that any of the series was scraped at."""
    points = points_of(series)
    return _matrix(series, points, np.unique(np.concatenate([np.empty(0), *(one[:, 0] for one in points)])))


def targets(groups: Sequence[Labels]) -> Ints:
    """A number for the scraped process of each group; the same for all groups that do not name theirs."""
    names = [tuple(labels.get(label) for label in TARGET) for labels in groups]
    number = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


def scraped(api: Prometheus, groups: Sequence[Labels], steps: Steps) -> Bools:
    """Of each of the `targets` of `groups`, whether Prometheus scraped it at each of `steps`, by its own series `up`.

    False throughout for a target that has no `up`, as where metrics are pushed.
    """
    number = targets(groups)
    up = np.zeros((int(number.max(initial=-1)) + 1, steps.count + 1), dtype=bool)
    jobs = sorted({labels["job"] for labels in groups if "job" in labels})
    if not jobs:
        return up
    place = {tuple(labels.get(label) for label in _UP): target for labels, target in zip(groups, number, strict=True)}
    for one in api.range(f"up{{{matches('job', jobs)}}} == 1", steps):
        target = place.get(tuple(one.metric.get(label) for label in _UP))
        if target is not None:
            up[target, np.round((one.points[:, 0] - steps.since_s) / steps.step_s).astype(np.int64)] = True
    return up


def process_matchers(labels: Labels) -> tuple[str, ...]:
    """Matchers of the process that the series of a group come from."""
    return tuple(equals(label, labels[label]) for label in TARGET if label in labels)


def _matrix(series: Sequence[Series], points: Sequence[Points], times_s: Floats) -> Matrix:
    identities = [_identity(one.metric) for one in series]
    number = {identity: place for place, identity in enumerate(dict.fromkeys(identities))}
    edges = [float(one.metric.get("le", "nan")) for one in series]
    # An edge that was once written "1" and later "1.0" makes two series of one row.
    rows = {key: row for row, key in enumerate(dict.fromkeys(zip(identities, map(_key, edges), strict=True)))}
    values = np.full((len(rows), len(times_s)), np.nan)
    for identity, edge, one in zip(identities, edges, points, strict=True):
        # A series with a point at every time needs no search; most are.
        column = slice(None) if len(one) == len(times_s) else np.searchsorted(times_s, one[:, 0] - 1e-3)
        values[rows[identity, _key(edge)], column] = one[:, 1]
    group = np.array([number[identity] for identity, _ in rows], dtype=np.int64)
    edge_of = np.array([np.nan if edge is None else edge for _, edge in rows])
    order = np.lexsort((edge_of, group))
    return Matrix(times_s, values[order], group[order], edge_of[order], [dict(identity) for identity in number])


def _recall(matrix: Matrix, known: Sequence[Sample]) -> None:
    """Fill the first column from instant values where it is empty."""
    earlier = {
        (_identity(sample.metric), float(sample.metric.get("le", "nan"))): sample.value for sample in known if sample.value
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


def _identity(metric: Labels) -> Identity:
    return tuple(sorted((name, value) for name, value in metric.items() if name not in ("__name__", "le")))
