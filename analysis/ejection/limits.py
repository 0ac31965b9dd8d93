"""Bounds on the settings of a detector that hold whatever calls show, and the runs of failures that the rest follows from."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

LEAST_IN_A_ROW: Final = 3
"""Two failures in a row are chance: at 5 % failures they come every 420 answers."""

MOST_IN_A_ROW: Final = 20
"""Where what is well fails so often in a row, no limit tells what is broken."""

INTERVAL_S: Final = 10.0
BASE_EJECTION_S: Final = 30.0
"""Envoy's and Istio's own: calls show no better ones, since how long trouble lasts is its own affair."""


def longest_run(failed: NDArray[np.bool_]) -> int:
    """The most failures in a row.

    >>> longest_run(np.array([True, True, False, True]))
    2
    """
    ends = np.flatnonzero(~np.concatenate([[False], failed, [False]]))
    return int(np.diff(ends).max() - 1)
