"""Verbs of a store that need nothing but its calls."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import Phase

from .canary import Arms, Canary, CanarySettings, judge, select_arms
from .comparison import Asked as CompareAsked
from .comparison import Compared, Side, check_apart, check_conditions, check_keys, compare
from .config import Config
from .paths import Asked as ChainAsked
from .paths import Chain, chain
from .policy.deployed import Deployed
from .recommend import Recommendations
from .simulate import BY as SIMULATE_BY
from .simulate import Mesh, Simulation, simulate
from .tokens import TokenTimes, token_times

Scan = Callable[[datetime | None, datetime | None], pl.LazyFrame]
"""Call rows that started in [since, until); None is an open end."""
Window = tuple[datetime | None, datetime | None]
"""From when on and before when calls started; None is an open end."""


class Verbs:
    """What is asked of `scan` alone; `analysis.api.CallStore` is one of these."""

    scan: Scan

    @abstractmethod
    def need_calls(self, since: datetime | None, until: datetime | None) -> pl.LazyFrame:
        """`scan`, once: StoreError where the window holds no single calls; pulled metrics are none."""

    def chain(
        self,
        *,
        by: Sequence[str] = ("route",),
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        since: datetime | None = None,
        until: datetime | None = None,
        seed: int = 0,
    ) -> Chain:
        """Where the traces of each entry hop and the keys `by` of their first call spend their time, hop by hop.

        seed: of the resamples behind the intervals of shares. Raises StoreError where the window holds no traces.
        """
        check_list("by", by)
        check_quantiles(quantiles)
        asked = ChainAsked(tuple(quantiles), np.random.default_rng(seed))
        return chain(self.need_calls(since, until), asked, tuple(dict.fromkeys(by)))

    def tokens(
        self,
        *,
        config: Config | None = None,
        by: Sequence[str] = ("hop", "model"),
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> TokenTimes:
        """Time per output token, and the total given tokens, of each group `by` whose model and tokens are known.

        Where `config` knows a model's max_tokens, the total timeout that these justify. Raises StoreError where the window
        holds no calls.
        """
        check_list("by", by)
        check_quantiles(quantiles)
        return token_times(self.need_calls(since, until), config, by=by, quantiles=quantiles)

    def compare(
        self,
        a: Mapping[str, str] | None = None,
        b: Mapping[str, str] | None = None,
        *,
        by: Sequence[str] = ("hop", "route"),
        phases: Sequence[Phase] = ("total", "first_token"),
        quantiles: Sequence[float] = (0.5, 0.95, 0.99),
        since: datetime | None = None,
        until: datetime | None = None,
        baseline: Window | None = None,
    ) -> Compared:
        """What of the calls that meet `b` in [since, until) differs from those that meet `a`, beyond noise.

        a, b: conditions such as {"version": "v2"}. baseline: the window of `a`, where it is another. Raises BadInputError
        where a side has no calls or calls are on both, StoreError where a window has none.
        """
        check_list("by", by)
        check_quantiles(quantiles)
        windows = [baseline or (since, until), (since, until)]
        frames = {window: self.need_calls(*window) for window in dict.fromkeys(windows)}
        check_keys(by, a or {}, b or {})
        sides = [
            Side(frames[window], check_conditions(given or {}), _named(given, None if baseline is None else window))
            for given, window in zip((a, b), windows, strict=True)
        ]
        check_apart(sides[0], sides[1], self._in_both(frames))
        return compare(sides[0], sides[1], CompareAsked(tuple(by), tuple(phases), tuple(quantiles)))

    def canary(
        self,
        arms: Arms,
        *,
        weight: int | None = None,
        settings: CanarySettings = CanarySettings(),  # noqa: B008 - a frozen value
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> Canary:
        """Whether the candidate of `arms` (`parse_arms("v1", "v2")`) may have more traffic; safe to ask at any time.

        weight: its share of the traffic now, in per cent; counted from calls where it is not given. Raises BadInputError where
        a side has no calls, StoreError where the window has none.
        """
        return judge(select_arms(self.need_calls(since, until), arms), settings, weight)

    def simulate(
        self,
        proposed: Mesh | Deployed | Recommendations,
        *,
        current: Mesh | Deployed | None = None,
        by: Sequence[str] = SIMULATE_BY,
        config: Config | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        seed: int = 0,
    ) -> Simulation:
        """What the calls in [since, until) would become under proposed timeouts and retries, by hop and the further keys `by`.

        proposed, current: manifests (`simulate.read_mesh`), or for the first what `recommend` answered. Without `current` what
        was seen stands for now. seed: of what is drawn. Raises StoreError where the window holds no calls, BadInputError for a
        proposal that concerns none of them.
        """
        check_list("by", by)
        calls = self.need_calls(since, until)
        after = Mesh(proposed) if isinstance(proposed, Deployed) else proposed
        before = Mesh(current) if isinstance(current, Deployed) else current
        return simulate(calls, after, current=before, by=by, config=config, seed=seed)

    def _in_both(self, frames: Mapping[Window, pl.LazyFrame]) -> pl.LazyFrame | None:
        """The calls of the time that is within every window of `frames`; None where there is no such time."""
        begin = max((begin for begin, _ in frames if begin is not None), default=None)
        end = min((end for _, end in frames if end is not None), default=None)
        if begin is not None and end is not None and begin >= end:
            return None
        return frames[begin, end] if (begin, end) in frames else self.scan(begin, end)


def _named(conditions: Mapping[str, str] | None, window: Window | None) -> str:
    """What a side is called."""
    which = ", ".join(f"{name}={value}" for name, value in (conditions or {}).items())
    ends = [] if window is None else [f"{edge:%Y-%m-%dT%H:%M:%SZ}" if edge else "..." for edge in window]
    return " ".join(part for part in (which, " to ".join(ends)) if part) or "all calls"


def check_list(name: str, given: Sequence[str]) -> None:
    """BadInputError where a text stands for a list of one."""
    if isinstance(given, str):
        raise BadInputError(f'{name}="{given}" is a text; pass a list, {name}=["{given}"]')


def check_quantiles(quantiles: Sequence[float]) -> None:
    """BadInputError where there is none, or one is no share."""
    wrong = [q for q in quantiles if not 0.0 < q < 1.0]
    if wrong or not quantiles:
        raise BadInputError(f"quantile {wrong[0] if wrong else '(none)'} is outside (0, 1); pass 0.99 for p99")
