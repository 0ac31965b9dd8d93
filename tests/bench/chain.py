"""Critical paths of a million calls: 200,000 traces of five calls, beside a walk in plain Python, span by span.

The walk knows spans, parents and one clock; the paths also find vantages and parents, set clocks right and add up hops.
"""

import statistics
import time
from collections import defaultdict
from typing import Any, Final

import numpy as np
import polars as pl

from meshslo.analysis.api import from_calls
from meshslo.analysis.paths import time_traces
from meshslo.telemetry.schema import conform

TRACES: Final = 200_000
WALKED: Final = 4_000
"""Traces that are walked in Python: it is per trace, so that a part tells the whole."""
RUNS: Final = 3
NEEDED_S: Final = 10.0


def calls() -> pl.DataFrame:
    """ingress > gateway > (retriever > reranker and a cache beside it, then generator), over a day."""
    rng = np.random.default_rng(0)
    start = np.datetime64("2026-11-02T09:00:00", "ns") + (rng.random(TRACES) * 86400e9).astype("timedelta64[ns]")
    search, rank, answer = rng.lognormal(-2, 0.5, TRACES), rng.lognormal(-3, 0.5, TRACES), rng.lognormal(0, 0.5, TRACES)
    zero = np.zeros(TRACES)
    parts = [
        (1, None, "ingress>gateway", zero, search + rank + answer + 0.1),
        (2, 1, "gateway>retriever", zero + 0.01, search + rank),
        (3, 2, "retriever>reranker", search + 0.01, rank),
        (4, 1, "gateway>cache", zero + 0.01, np.minimum(search, 0.1)),
        (5, 1, "gateway>generator", search + rank + 0.05, answer),
    ]
    number = np.arange(TRACES)
    ids = {place: pl.Series(number * 8 + place).cast(pl.String).str.zfill(8).cast(pl.Binary) for place in range(1, 6)}
    frames = [
        pl.DataFrame(
            {
                "trace_id": pl.Series(number).cast(pl.String).str.zfill(16).cast(pl.Binary),
                "span_id": ids[place],
                "parent_span_id": None if above is None else ids[above],
                "start": pl.Series(start + (after * 1e9).astype("timedelta64[ns]")).dt.replace_time_zone("UTC"),
                "duration_s": took,
            },
            schema_overrides={"parent_span_id": pl.Binary},
        ).with_columns(
            hop=pl.lit(hop), caller=pl.lit(hop.partition(">")[0]), callee=pl.lit(hop.partition(">")[2]),
            vantage=pl.lit("client"), outcome=pl.lit("ok"),
        )
        for place, above, hop, after, took in parts
    ]  # fmt: skip
    return conform(pl.concat(frames))


def walk(frame: pl.DataFrame) -> dict[str, float]:
    """Own seconds of each hop on critical paths, trace by trace as a tracing UI computes them."""
    traces: defaultdict[bytes, list[Any]] = defaultdict(list)
    for row in frame.select(
        "trace_id", "span_id", "parent_span_id", "hop", pl.col("start").to_physical(), "duration_s"
    ).iter_rows():
        traces[row[0]].append(row)
    spent: defaultdict[str, float] = defaultdict(float)
    for spans in traces.values():
        below: defaultdict[bytes | None, list[Any]] = defaultdict(list)
        for span in spans:
            below[span[2]].append((span[4] / 1e9, span[4] / 1e9 + span[5], span))
        stack = [(begin, end, span) for begin, end, span in below[None]]
        while stack:
            begin, end, span = stack.pop()
            own, cursor = end - begin, end
            for child_begin, child_end, child in sorted(below[span[1]], key=lambda each: -each[1]):
                if child_begin < cursor:
                    part = child_begin, min(child_end, cursor), child
                    own -= part[1] - part[0]
                    cursor = child_begin
                    stack.append(part)
            spent[span[3]] += own
    return dict(spent)


def run() -> dict[str, Any]:
    """Median seconds of the paths alone and of the whole answer; of the walk, scaled to as many traces."""
    frame = calls()
    some = frame.filter(pl.col("trace_id").is_in(frame["trace_id"].head(WALKED).implode()))
    paths, answers, walks = [], [], []
    for _ in range(RUNS):
        began = time.perf_counter()
        timed = time_traces(frame.lazy())
        paths.append(time.perf_counter() - began)
        began = time.perf_counter()
        from_calls(frame).chain()
        answers.append(time.perf_counter() - began)
        began = time.perf_counter()
        walked = walk(some)
        walks.append((time.perf_counter() - began) * TRACES / WALKED)
    ours = dict(timed.hops.filter(pl.col("trace") < WALKED).group_by("hop").agg(pl.col("own_s").sum()).iter_rows())
    worst = max(abs(ours[hop] - seconds) / seconds for hop, seconds in walked.items())
    path_s, walk_s = statistics.median(paths), statistics.median(walks)
    return {
        "calls": frame.height,
        "paths_s": path_s,
        "chain_s": statistics.median(answers),
        "python_walk_s": walk_s,
        "times_faster_than_python_walk": walk_s / path_s,
        "worst_relative_difference": worst,
        "needed_s": NEEDED_S,
    }
