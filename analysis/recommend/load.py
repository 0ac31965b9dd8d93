"""What load each callee was under, and how slow its calls were under it beside calls of the same kind at low load."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.analysis.concurrency import Concurrency, sweep
from meshslo.analysis.knee import Knee, Peak, find_knee, find_peak, load_levels
from meshslo.telemetry.vocabulary import VANTAGES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MIN_CHUNKS: Final = 5
"""Fewer chunks say little about the time of one."""

BLOCKS: Final = 30
"""Stretches of time, equally long, that are drawn again for the interval of a knee: at least 20 (Politis and Romano 1994)."""

LOW_SHARE: Final = 0.25
"""Loads that a share of calls met at most are low ones: what others are compared with, and no more than that."""

FEWEST_OF_KIND: Final = 10
"""Calls of one kind at low load that say how long such a call takes there."""

CLIENT_SIDE: Final = ("proxy_out", "client")
"""Vantages whose pod is the caller's."""

NEEDED: Final = (
    *("hop", "callee", "kind", "start", "duration_s", "first_token_s", "open_gap_s"),
    *("outcome", "output_tokens", "chunks", "weight"),
)

_MADE: Final = pl.max_horizontal("output_tokens", "chunks").cast(pl.Float64)
_PER_TOKEN_S: Final = (pl.col("duration_s") - pl.coalesce("open_gap_s", 0.0) - pl.col("first_token_s")) / (_MADE - 1)
_WAIT_S: Final = pl.when(pl.col("first_token_s").is_not_null()).then("first_token_s")
_ANSWER_S: Final = pl.when(pl.col("outcome") == "ok").then("duration_s")


@dataclass(frozen=True, eq=False)
class CalleeLoad:
    """The calls of one callee from all its hops, in order of their start (`rows`), and how many were in progress."""

    rows: pl.DataFrame
    proxies: Mapping[str, int]
    """Client proxies of each hop, as far as calls name their pods."""

    @cached_property
    def start_s(self) -> Floats:
        """Seconds since the first call."""
        return self.rows["start_s"].to_numpy()

    @cached_property
    def end_s(self) -> Floats:
        """When each call ended."""
        duration_s: Floats = self.rows["duration_s"].to_numpy()
        return self.start_s + duration_s

    @cached_property
    def in_progress(self) -> Concurrency:
        """How many calls there were at each moment."""
        return sweep(self.start_s, self.end_s, self.rows["weight"].to_numpy())

    @cached_property
    def met(self) -> Floats:
        """Calls in progress when each began, itself among them."""
        return self.in_progress.before(self.start_s) + 1.0

    @property
    def waits(self) -> str:
        """What is measured: the first token where there are streams, else the answer."""
        return "first tokens" if self.rows["first_token_s"].is_not_null().any() else "answers"

    @cached_property
    def wait_s(self) -> Floats:
        """How long each call waited for its first token, or its answer where nothing streams; NaN where not seen."""
        expr = _WAIT_S if self.waits == "first tokens" else _ANSWER_S
        return self.rows.select(expr.alias("s"))["s"].fill_null(np.nan).to_numpy()

    def unloaded_end_s(self, bears: float) -> Floats:
        """When each call would have ended, had it waited as its kind does where at most `bears` calls are in progress.

        A call whose wait is not known, or has no such kind, ends as it did.
        """
        slowness = self._slowness(self.wait_s, self.met, bears)
        waited_s: Floats = np.where(slowness > 1.0, self.wait_s * (1.0 - 1.0 / np.maximum(slowness, 1.0)), 0.0)
        return self.end_s - np.nan_to_num(waited_s)

    def wait_knee(self, confidence: float, seed: int) -> Knee:
        """From how many calls on first tokens (or answers) take longer."""
        return self._knee(self.wait_s, self.met, confidence, seed)

    def levels(self) -> list[tuple[float, float, int]]:
        """Calls met, mean slowness of waits, and calls, by level of load: what `wait_knee` is fitted to."""
        load, slowness, _ = self._compared(self.wait_s, self.met)
        return load_levels(load, slowness)

    def token_knee(self, confidence: float, seed: int) -> Knee:
        """From how many calls on, met on average while it streamed, each token takes longer."""
        return self._knee(self._per_token_s, self._met_meanwhile, confidence, seed)

    def peak(self, confidence: float, seed: int) -> Peak:
        """At how many calls, met on average, most tokens are made (or most answers given, where nothing streams)."""
        value_s = self._per_token_s if self.waits == "first tokens" else self.wait_s
        load, slowness, block = self._compared(value_s, self._met_meanwhile)
        return find_peak(load, slowness, block, confidence=confidence, rng=np.random.default_rng(seed))

    @cached_property
    def _per_token_s(self) -> Floats:
        """Time of each call per token after its first; NaN where it made too few to tell."""
        enough = self.rows.select((_MADE >= MIN_CHUNKS).fill_null(value=False).alias("b"))["b"].to_numpy()
        per_token_s = self.rows.select(_PER_TOKEN_S.alias("s"))["s"].fill_null(np.nan).to_numpy()
        return np.where(enough, per_token_s, np.nan)

    @cached_property
    def _met_meanwhile(self) -> Floats:
        return self.in_progress.during(self.start_s, self.end_s)

    def _knee(self, value_s: Floats, load: Floats, confidence: float, seed: int) -> Knee:
        met, slowness, block = self._compared(value_s, load)
        return find_knee(met, slowness, block, confidence=confidence, rng=np.random.default_rng(seed))

    def _compared(self, value_s: Floats, load: Floats) -> tuple[Floats, Floats, Ints]:
        """Load, slowness and stretch of time of the calls that show a value."""
        slowness = self._slowness(value_s, load, float(np.quantile(load, LOW_SHARE)) if len(load) else 0.0)
        use = np.isfinite(slowness)
        block = (self.start_s[use] * (BLOCKS / max(self.in_progress.span_s, 1e-9))).astype(np.int64)
        return load[use], slowness[use], block

    def _slowness(self, value_s: Floats, load: Floats, low_load: float) -> Floats:
        """Each value over the mean of its kind at low load: a long prompt or a large model is no load."""
        rows = self.rows.select("kind", pl.Series("value", value_s).fill_nan(None), pl.Series("load", load))
        low = pl.col("value").filter(pl.col("load") <= low_load)
        known = pl.when(low.count().over("kind") >= FEWEST_OF_KIND).then(low.mean().over("kind"))
        return rows.select((pl.col("value") / known).fill_nan(None).alias("s"))["s"].fill_null(np.nan).to_numpy()


def loads_by_callee(calls: pl.LazyFrame) -> dict[str, CalleeLoad]:
    """The load of each callee; each hop from the outermost vantage that saw first tokens, else the outermost there is.

    Calls that never reached the callee, and those of unknown length, are no load.
    """
    rows = _executed(calls).collect()
    proxies = _client_proxies(calls)
    parts = rows.partition_by("callee", as_dict=True, maintain_order=True)
    found = {}
    for (callee,), part in sorted(parts.items(), key=lambda item: str(item[0][0])):
        hops = part["hop"].unique().to_list()
        begun = part.with_columns(start_s=(pl.col("start") - pl.col("start").min()).dt.total_nanoseconds() * 1e-9)
        found[str(callee)] = CalleeLoad(begun, {hop: proxies[hop] for hop in sorted(hops) if hop in proxies})
    return found


def _executed(calls: pl.LazyFrame) -> pl.LazyFrame:
    timed = calls.filter(pl.col("duration_s").is_not_null() & (pl.col("outcome") != "rejected"))
    rank = pl.col("vantage").cast(pl.Enum(VANTAGES)).to_physical()
    shows = pl.col("first_token_s").is_not_null().any().over("hop", "vantage")
    best = pl.struct(~pl.col("shows"), pl.col("rank"))
    prompt = pl.col("input_tokens").fill_null(0).clip(lower_bound=1).log(2).round().cast(pl.Int8)
    return (
        timed.with_columns(rank.alias("rank"), shows.alias("shows"))
        .filter(best == best.sort_by("shows", "rank", descending=[True, False]).first().over("hop"))
        .with_columns(
            pl.struct("route", "model", prompt.alias("prompt")).rank("dense").alias("kind"),
            pl.col("weight").fill_null(1.0),
        )
        .sort("start", "duration_s", "span_id")
        .select(NEEDED)
    )


def _client_proxies(calls: pl.LazyFrame) -> dict[str, int]:
    """Pods of callers by hop."""
    sides = calls.filter(pl.col("vantage").is_in(CLIENT_SIDE) & pl.col("pod").is_not_null())
    counted = (
        sides.group_by("hop", "vantage").agg(pl.col("pod").n_unique().alias("pods")).group_by("hop").agg(pl.col("pods").max())
    )
    return {str(hop): int(pods) for hop, pods in counted.collect().iter_rows()}


def seen_by_one(calls: pl.LazyFrame) -> dict[str, int]:
    """Calls of each hop as the vantage saw them that saw most: one call seen from four places is one."""
    counted = calls.group_by("hop", "vantage").len().group_by("hop").agg(pl.col("len").max())
    return dict(counted.collect().iter_rows())
