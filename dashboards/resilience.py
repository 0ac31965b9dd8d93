"""From answers on loads, pods, zones and rollouts to the frames that figures draw and tables show. Pure."""

from datetime import datetime
from typing import Final

import polars as pl

from meshslo.analysis.canary import Canary
from meshslo.analysis.canary.verdict import WORDS, Duration, points_text
from meshslo.analysis.recommend.words import share
from meshslo.analysis.resilience import Load, Resilience, ZonePair
from meshslo.dashboards.text import seconds_text, share_text

FEWEST_OF_LEVEL: Final = 10
"""Of fewer calls a mean is one call's luck."""

KNEES: Final = {"none": "no knee", "unknown": "not known", "everywhere": "slower with every call", "found": "knee"}


def load_table(found: Resilience) -> pl.DataFrame:
    """One row a hop: calls in progress, what its callee bears, the limit of each client proxy."""
    rows = [
        {
            "hop": hop.hop,
            "calls": load.calls,
            "in progress": f"{load.mean:.3g} on average, {load.most:.3g} at most",
            "seen by": load.seen_by,
            "bears": bears_text(load),
            "each proxy": "-" if hop.limit is None else f"{hop.limit:,}",
        }
        for load in found.loads
        for hop in load.limits
    ]
    kinds = dict.fromkeys(("hop", "in progress", "seen by", "bears", "each proxy"), pl.String) | {"calls": pl.Int64}
    return pl.DataFrame(rows, schema=kinds).select("hop", "calls", "in progress", "seen by", "bears", "each proxy")


def bears_text(load: Load) -> str:
    """What a callee bears, or why that is not known."""
    if load.bears is not None:
        return f"{load.bears.at:.3g} ({load.bears.low:.3g} to {load.bears.high:.3g})"
    if load.knee.status == "none":
        return f"no knee up to {load.knee.up_to:.3g}"
    return "not sharp enough" if load.knee.status == "found" else KNEES[load.knee.status]


def level_rows(load: Load) -> pl.DataFrame:
    """One row a level: load, slowness, calls; levels of a few single calls say nothing and are left out."""
    schema = {"load": pl.Float64, "slowness": pl.Float64, "calls": pl.Int64}
    least = FEWEST_OF_LEVEL if load.seen_by == "calls" else 1
    return pl.DataFrame([vars(level) for level in load.levels if level.calls >= least], schema=schema)


def pod_table(found: Resilience) -> pl.DataFrame:
    """One row a pod: answers, failures, whether it is broken or slow, how often it would have been out."""
    rows = [
        {
            "hop": pod.hop,
            "pod": pod.pod,
            "answers": pod.answers,
            "failed": share_text(pod.failed, pod.answers),
            "broken": "fails more than the others" if pod.broken else "-",
            "slow": "-"
            if pod.slow_ratio is None
            else f"{pod.slow_ratio:.2f} times as long ({pod.slow_low:.2f} to {pod.slow_high:.2f})",
            "would have been out": sum((out.hop, out.pod) == (pod.hop, pod.pod) for out in found.ejections),
        }
        for pod in found.pods
    ]
    kinds = dict.fromkeys(("hop", "pod", "failed", "broken", "slow"), pl.String)
    frame = pl.DataFrame(rows, schema=kinds | {"answers": pl.Int64, "would have been out": pl.Int64})
    return frame.select("hop", "pod", "answers", "failed", "broken", "slow", "would have been out")


def out_rows(found: Resilience, until: datetime) -> pl.DataFrame:
    """name, start, end, rule, text of each ejection; one that had not ended goes on `until` the last call."""
    several = len({out.hop for out in found.ejections}) > 1
    rows = [
        {
            "name": f"{out.pod} ({out.hop})" if several else out.pod,
            "start": out.start,
            "end": out.end or max(out.start, until),
            "rule": out.rule,
            "text": "still out" if out.end is None else f"out for {seconds_text((out.end - out.start).total_seconds())}",
        }
        for out in found.ejections
    ]
    at = pl.Datetime("us", "UTC")
    return pl.DataFrame(rows, schema={"name": pl.String, "start": at, "end": at, "rule": pl.String, "text": pl.String})


def zone_rows(found: Resilience, hop: str) -> pl.DataFrame:
    """from_zone, to_zone, share (of the zone's calls), text of each pair of zones of a hop."""
    mine = [pair for pair in found.zones if pair.hop == hop]
    sent = {zone: sum(pair.calls for pair in mine if pair.from_zone == zone) for zone in {pair.from_zone for pair in mine}}
    rows = [
        {
            "from_zone": pair.from_zone,
            "to_zone": pair.to_zone,
            "share": pair.calls / sent[pair.from_zone],
            "text": f"{pair.calls:,} calls, {share(pair.failed_ratio)} failed<br>first token p95 {first_token_text(pair)}",
        }
        for pair in mine
    ]
    return pl.DataFrame(rows, schema={"from_zone": pl.String, "to_zone": pl.String, "share": pl.Float64, "text": pl.String})


def zone_table(found: Resilience) -> pl.DataFrame:
    """One row a hop and pair of zones."""
    rows = [
        {
            "hop": pair.hop,
            "from": pair.from_zone,
            "to": pair.to_zone,
            "calls": pair.calls,
            "failed": f"{share(pair.failed_ratio)} ({share(pair.failed_low)} to {share(pair.failed_high)})",
            "first token p95": first_token_text(pair),
            "a day": "-" if pair.cost_per_day is None else f"{pair.cost_per_day:,.2f}",
        }
        for pair in found.zones
    ]
    names = ("hop", "from", "to", "calls", "failed", "first token p95", "a day")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String) | {"calls": pl.Int64})


def first_token_text(pair: ZonePair) -> str:
    """p95 of first tokens with its interval; "-" where calls are too few for it."""
    return span_text(Duration(pair.first_token_p95_s, pair.first_token_p95_low_s, pair.first_token_p95_high_s))


def evidence_rows(found: Canary) -> pl.DataFrame:
    """One row a look: name (of the measure, in words), at, pairs, worse, within."""
    rows = [{**vars(look), "name": WORDS[course.name]} for course in found.courses for look in course.looks]
    numbers = {"pairs": pl.Int64, "worse": pl.Float64, "within": pl.Float64}
    return pl.DataFrame(rows, schema={"name": pl.String(), "at": pl.Datetime("us", "UTC"), **numbers})


def verdict_table(found: Canary, quantile: float) -> pl.DataFrame:
    """One row a measure: each side's quantile, how many more calls the candidate has of it, the margin, where it stands.

    Quantiles are of all calls of a side; how many more there are is counted among calls of one kind, which alone decides.
    """
    mark = f"p{100 * quantile:g}"
    rows = [
        {
            "measure": WORDS[each.name],
            f"{mark} of all baseline": span_text(each.baseline),
            f"{mark} of all candidate": span_text(each.candidate),
            "more, like with like": points_text(each),
            "may be": f"< {100 * each.margin:+.1f} %",
            "stands": each.standing if each.needs_calls is None else f"open: ~{each.needs_calls:,} more",
        }
        for each in found.measures
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def span_text(side: Duration | None) -> str:
    """A quantile with its limits; "-" where nothing was seen.

    >>> span_text(Duration(0.31, 0.3, None)), span_text(None)
    ('310 ms (300 ms to ?)', '-')
    """
    if side is None or (side.value_s is None and side.low_s is None):
        return "-"
    low, high = (seconds_text(limit) for limit in (side.low_s, side.high_s))
    return f"{seconds_text(side.value_s)} ({low} to {'?' if side.high_s is None else high})"
