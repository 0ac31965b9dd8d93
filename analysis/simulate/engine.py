"""One proxy's rules applied to many requests at once: timers, repetitions, back-off.

The rules are those of Envoy's router: the route's timeout runs from the request on, over all attempts, back-offs and the body;
that of one try ends with headers; the idle timer starts again with headers and with every chunk; after headers nothing is
repeated; what the listener's timers (idle, longest stream) or the route's timeout ended is not repeated either.
Source: Envoy, source/common/router/router.cc and retry_state_impl.cc; the FAQ on timeouts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from .fates import Again, Natural
from .kinds import Flags, Floats, Ints, Kind, Small, Timer, repeatable
from .policy import Policy
from .replay import Replay


@dataclass(frozen=True, eq=False)
class Plan:
    """What becomes of requests: a row an attempt, by request and number. Seconds from the request's start.

    like: the attempt it is like. held_until_s: when a repetition stops counting against a budget: at its headers or its end.
    own: a timer of its own proxy cut it, not one further in. The last row of a request says how that ended.
    """

    request: Ints
    number: Ints
    like: Ints
    start_s: Floats
    end_s: Floats
    held_until_s: Floats
    kind: Small
    timer: Small
    own: Flags

    def __len__(self) -> int:
        return len(self.request)

    def take(self, rows: Ints | Flags) -> "Plan":
        """Some of the rows."""
        return Plan(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def of_parts(cls, parts: Sequence["Plan"]) -> "Plan":
        """The rows of all parts, by request and number."""
        joined = cls(**{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)})
        return joined.take(np.argsort(joined.request * (int(joined.number.max(initial=0)) + 1) + joined.number, kind="stable"))

    @cached_property
    def last(self) -> Ints:
        """The last row of each request."""
        return np.flatnonzero(np.append(np.diff(self.request) != 0, True)) if len(self) else np.zeros(0, np.int64)


@dataclass(frozen=True, eq=False)
class Rules:
    """The policy of each group, as arrays."""

    policies: Sequence[Policy]

    @cached_property
    def total_s(self) -> Floats:
        """Timeout of the route."""
        return np.array([policy.total_s for policy in self.policies])

    @cached_property
    def stream_s(self) -> Floats:
        """Longest stream."""
        return np.array([policy.stream_s for policy in self.policies])

    @cached_property
    def idle_s(self) -> Floats:
        """Longest silence."""
        return np.array([policy.idle_s for policy in self.policies])

    @cached_property
    def per_try_s(self) -> Floats:
        """Timeout of one try's headers."""
        return np.array([policy.per_try_s for policy in self.policies])

    @cached_property
    def retries(self) -> Ints:
        """Repetitions at most."""
        return np.array([policy.retries for policy in self.policies], dtype=np.int64)

    def back_off_s(self, group: Ints, number: int, rng: np.random.Generator) -> Floats:
        """Waits before the repetition after attempt `number`: uniform below (2 ** number - 1) x base, and below the longest."""
        base_s, longest_s = (
            np.array([getattr(policy, name) for policy in self.policies])[group]
            for name in ("back_off_s", "longest_back_off_s")
        )
        return np.asarray(rng.uniform(size=len(group)) * np.minimum((2.0**number - 1.0) * base_s, longest_s))

    def repeats(self, group: Ints, kind: Small, code: Ints, grpc: Ints) -> Flags:
        """Which endings the policy of their group repeats."""
        found = np.zeros(len(group), dtype=bool)
        for conditions in {policy.retry_on for policy in self.policies if policy.retries}:
            same = np.array([policy.retry_on == conditions for policy in self.policies])[group]
            found |= same & repeatable(conditions, kind, code, grpc)
        return found


@dataclass(frozen=True, eq=False)
class Proxy:
    """Replays requests under rules, one level of the chain at a time; `again` says what a repetition is like."""

    replay: Replay
    rules: Rules
    again: Again

    def plan(self, natural: Natural, requests: Ints, rng: np.random.Generator) -> Plan:
        """What becomes of `requests` if every repetition finds room."""
        group, retries = self.replay.group, self.rules.retries
        asked, attempt, start_s = requests, self.replay.requests.first[requests], np.zeros(len(requests))
        parts = [Plan(*[np.zeros(0, kind) for kind in (np.int64,) * 3 + (float,) * 3 + (np.int8, np.int8, bool)])]
        while len(asked):
            number = len(parts)
            part = self._tried(natural, asked, attempt, start_s, number)
            wants = (retries[group[asked]] >= number) & self._repeatable(natural, part)
            next_s = part.end_s + self.rules.back_off_s(group[asked], number, rng)
            late = wants & (next_s >= self._deadline_s(asked))
            parts.append(self._cut_waiting(part, late))
            on = wants & ~late
            asked, start_s, attempt = asked[on], next_s[on], self.again.after(attempt[on], rng)
        return Plan.of_parts(parts)

    def _tried(self, natural: Natural, asked: Ints, attempt: Ints, start_s: Floats, number: int) -> Plan:
        """One attempt of each request: the first of all that can end it."""
        rules, group = self.rules, self.replay.group[asked]
        kind = natural.kind[attempt]
        natural_s = start_s + natural.duration_s[attempt]
        headers_s = np.minimum(start_s + _headers_s(natural, attempt), natural_s)
        ends_s = np.vstack([
            natural_s,
            rules.total_s[group],
            self._idle_s(natural, attempt, group, start_s, natural_s, headers_s),
            np.where(headers_s > start_s + rules.per_try_s[group], start_s + rules.per_try_s[group], np.inf),
            rules.stream_s[group],
            self.replay.requests.leaves_s[asked],
        ])  # fmt: skip
        # The timers stand in the order of `Timer`, so that the row is the timer.
        first = ends_s.argmin(axis=0)
        end_s = ends_s[first, np.arange(len(asked))]
        cut, left = (first > 0) & (first <= Timer.STREAM), first > Timer.STREAM
        return Plan(
            request=asked,
            number=np.full(len(asked), number),
            like=attempt,
            start_s=start_s,
            end_s=end_s,
            held_until_s=np.minimum(headers_s, end_s),
            kind=np.where(cut, Kind.CUT, np.where(left, Kind.LEFT, kind)).astype(np.int8),
            timer=np.where(cut, first, np.where(left, Timer.NONE, natural.timer[attempt])).astype(np.int8),
            own=cut,
        )

    def _idle_s(
        self, natural: Natural, attempt: Ints, group: Ints, start_s: Floats, natural_s: Floats, headers_s: Floats
    ) -> Floats:
        """When the idle timer fires, inf where never: before headers it runs from the request on, then from each chunk."""
        idle_s = self.rules.idle_s[group]
        first_s = start_s + np.nan_to_num(natural.first_token_s[attempt], nan=-np.inf)
        silence_s = np.nan_to_num(natural.silence_s[attempt])
        # Where in the body the longest silence lies was not kept: in the middle of where it can, but for the first token's.
        middle_s = np.where(np.isfinite(natural_s), (headers_s + np.maximum(natural_s - silence_s, headers_s)) / 2, np.inf)
        in_body_s = np.where(first_s - headers_s > idle_s, headers_s, middle_s) + idle_s
        return np.where(headers_s > idle_s, idle_s, np.where(silence_s > idle_s, in_body_s, np.inf))

    def _deadline_s(self, asked: Ints) -> Floats:
        group = self.replay.group[asked]
        own_s = np.minimum(np.minimum(self.rules.total_s[group], self.rules.stream_s[group]), self.rules.idle_s[group])
        return np.minimum(own_s, self.replay.requests.leaves_s[asked])

    def _cut_waiting(self, part: Plan, late: Flags) -> Plan:
        """`part` with requests that a timer ends, or whose user leaves, while they wait to be repeated."""
        if not late.any():
            return part
        deadline_s, group = self._deadline_s(part.request), self.replay.group[part.request]
        left = late & (self.replay.requests.leaves_s[part.request] <= deadline_s)
        timer = np.where(self.rules.idle_s[group] <= deadline_s, Timer.IDLE, Timer.STREAM)
        timer = np.where(self.rules.total_s[group] <= deadline_s, Timer.TOTAL, timer)
        return Plan(
            **{field.name: getattr(part, field.name) for field in fields(part)}
            | {
                "end_s": np.where(late, deadline_s, part.end_s),
                "kind": np.where(late, np.where(left, Kind.LEFT, Kind.CUT), part.kind).astype(np.int8),
                "timer": np.where(late, np.where(left, Timer.NONE, timer), part.timer).astype(np.int8),
                "own": part.own | (late & ~left),
            }
        )

    def _repeatable(self, natural: Natural, part: Plan) -> Flags:
        # To the router a try that ran out of time is a reset.
        kind = np.where(part.own & (part.timer == Timer.PER_TRY), Kind.RESET, part.kind).astype(np.int8)
        return self.rules.repeats(self.replay.group[part.request], kind, natural.code[part.like], natural.grpc[part.like])


def _headers_s(natural: Natural, attempt: Ints) -> Floats:
    """When headers come: inf where none do; with the first token, or with the end, where nobody saw them."""
    kind = natural.kind[attempt]
    seen_s = np.fmin(natural.headers_s[attempt], np.inf)
    seen_s = np.where(np.isnan(natural.headers_s[attempt]), natural.first_token_s[attempt], seen_s)
    seen_s = np.where(np.isnan(seen_s), natural.duration_s[attempt], seen_s)
    return np.where((kind == Kind.RESET) | (kind == Kind.CONNECT), np.inf, seen_s)
