"""What is replayed, as flat arrays: requests, the attempts each was given, and which attempt made which requests further in."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from .kinds import Flags, Floats, Ints, Small

GROUP: Final = ("level", "hop", "route", "model")
"""Attempts of one group may stand in for each other."""

KEYS: Final = ("hop", "route", "model", "tenant")
"""What results may be told apart by."""


@dataclass(frozen=True, eq=False)
class Attempts:
    """Every attempt, by request and number. Seconds; NaN where not seen.

    offset_s: from the request's start; headers_s, first_token_s: from the attempt's. silence_s: its longest silence after
    headers. tokens: generated until it ended. number counts from 1.
    """

    request: Ints
    number: Ints
    offset_s: Floats
    duration_s: Floats
    headers_s: Floats
    first_token_s: Floats
    silence_s: Floats
    tokens: Floats
    kind: Small
    timer: Small
    code: Ints
    grpc: Ints
    group: Ints

    def __len__(self) -> int:
        return len(self.request)


@dataclass(frozen=True, eq=False)
class Requests:
    """Every request, in the order of its attempts. start_s is from the first call's start; weight is 1 / sampling probability.

    first: its first attempt. parent: the attempt that made it, -1 for one from outside of what was seen; level: 0 for those,
    one more than the parent's for others. kind, timer, duration_s: how it was seen to end. leaves_s: when its user closed the
    page, inf for one who stayed.
    """

    start_s: Floats
    first: Ints
    parent: Ints
    level: Ints
    weight: Floats
    kind: Small
    timer: Small
    duration_s: Floats
    leaves_s: Floats
    streamed: Flags

    def __len__(self) -> int:
        return len(self.start_s)


@dataclass(frozen=True, eq=False)
class Replay:
    """All of it. groups: `GROUP` by group number; keys: `KEYS` of each request; ignored: calls whose duration nobody saw."""

    attempts: Attempts
    requests: Requests
    groups: pl.DataFrame
    keys: pl.DataFrame
    ignored: int

    @cached_property
    def levels(self) -> int:
        """How many calls deep chains go."""
        return int(self.requests.level.max(initial=-1)) + 1

    @cached_property
    def at_level(self) -> list[Ints]:
        """The requests of each level."""
        return [np.flatnonzero(self.requests.level == level) for level in range(self.levels)]

    @cached_property
    def number_of_attempts(self) -> Ints:
        """Attempts of each request."""
        return np.diff(np.append(self.requests.first, len(self.attempts)))

    @cached_property
    def group(self) -> Ints:
        """The group of each request."""
        return self.attempts.group[self.requests.first]

    @cached_property
    def children(self) -> Ints:
        """Requests that were made by another's attempt, by parent and start."""
        made = np.flatnonzero(self.requests.parent >= 0)
        return made[np.lexsort((self.requests.start_s[made], self.requests.parent[made]))]

    @cached_property
    def first_child(self) -> Ints:
        """Where in `children` those of each attempt begin, and where the last end."""
        return np.searchsorted(self.requests.parent[self.children], np.arange(len(self.attempts) + 1))

    @cached_property
    def child_offset_s(self) -> Floats:
        """When each of `children` was made, from its parent attempt's start; never before it, as clocks may say."""
        requests, attempts = self.requests, self.attempts
        parent = requests.parent[self.children]
        began_s = requests.start_s[attempts.request[parent]] + attempts.offset_s[parent]
        return np.maximum(requests.start_s[self.children] - began_s, 0.0)
