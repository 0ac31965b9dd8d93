"""docs/backtest.md: promises made on the first part of real measurements and judged on the rest, rules of thumb beside."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from textwrap import fill
from typing import Final

import numpy as np
import polars as pl

from meshslo.analysis.backtest import SLICES, Backtest, Judged, Row, Split, backtest
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.recommend.words import seconds, share
from meshslo.analysis.survival import LifeTable
from tests.support.llmperf import llmperf_calls
from tests.support.nezha import shop_calls
from tests.support.samples import held, life_tables_of

RULES: Final = {
    "p99_times_2": "p99 x 2",
    "max": "longest seen",
    "mean_plus_3_sigma": "mean + 3 sigma",
    "drop_cut_calls": "ours, cut calls dropped",
}
SAMPLES: Final = 400


def page() -> str:
    """The whole page; the same measurements give the same page."""
    hosted, shop = llmperf_calls(), shop_calls()
    first = _tested(hosted, 0.05, 0.7)
    rolled = _tested(hosted, 0.05, "rolling")
    parts = [
        _HEAD,
        _hosted(first, rolled),
        _shop([(ratio, _tested(shop, ratio, "rolling")) for ratio in (0.01, 0.05)]),
        _coverage(hosted, shop),
        _TAIL,
    ]
    return "\n".join(parts)


def _tested(calls: pl.DataFrame, ratio: float, split: Split) -> Backtest:
    return backtest(calls.lazy(), _promising(ratio), split=split)


def _promising(ratio: float) -> Config:
    return parse_config(f"[objectives]\nfalse_timeout_ratio = {ratio}")


_HEAD: Final = """# Backtest on real measurements

`make backtest-docs` writes this page from measurements of running systems. Each timeout is fitted on the first calls
and judged on later ones, with the method of `meshslo recommend`: the upper 95 % confidence bound of the quantile that
the false-timeout budget names, bursts counted. *Observed* is the share of the later calls that a timer of that value
would have cut, with its 95 % interval. A promise is **broken** where that interval lies above the promised rate
altogether; a single later call that is slow breaks nothing. The rules beside it are set on the same first calls:

* *p99 x 2*: twice the p99 of the calls that finished; *longest seen*: the longest of them; *mean + 3 sigma* of them;
* *ours, cut calls dropped*: our bound as if calls that a timer cut had not been. (In these files no call is marked as
  cut, so that here the two are the same; `tests/analysis/test_backtest.py` has the case in which they differ.)

A rule without a promise keeps any promise by being long enough: its *length* says how much longer than ours a dead call
is held.
"""


def _hosted(first: Backtest, rolled: Backtest) -> str:
    judged = [row for row in first.rows if row.own]
    few = sorted({str(row.target["hop"]).partition(">")[2] for row in first.rows if row.own is None})
    rows = (
        [
            f"{str(row.target['hop']).partition('>')[2]} {row.target['model']}",
            row.setting.replace("_timeout", "").replace("_", " "),
            f"{row.fit_calls} / {row.judged_calls}",
            seconds(row.own.value_s),
            _rate(row.own),
            *(f"{seconds(rule.value_s)}: {share(rule.observed_rate)}" for rule in _rules(row)),
        ]
        for row in judged
        if row.own
    )
    return "\n".join(
        [
            "## Hosted models, 5 % promised\n",
            _prose(
                "11 services, 150 streams each, December 2023 (ray-project/llmperf-leaderboard, Apache-2.0). The files tell no"
                " times, so that their order stands for time: the first 105 requests of each are fitted, the other 45 judged."
                f" One per cent cannot be promised from so few calls (it takes 299), and {' and '.join(few)} answered too few"
                " for five."
            ),
            _table(["service", "timeout", "fit / judged", "value", "observed", *list(RULES.values())[:3]], rows),
            "",
            _prose(f"{_kept(first)} Rolling (each tenth after the first half, by all before it): {_kept(rolled)}"),
        ]
    )


def _shop(tested: Sequence[tuple[float, Backtest]]) -> str:
    lines = [
        "## A shop whose services change, rolling\n",
        _prose(
            "184,908 spans of ten services in nine minutes of 22 August 2022, within three windows (05:27, 07:26, 07:53 UTC) in"
            " each of which a fault was injected (IntelligentDDS/Nezha, MIT; cite Yu et al., FSE 2023). Every operation of a"
            f" service is a target. Each of the last five of {SLICES} slices is judged by a fit on all before it, over the gaps"
            " between the windows."
        ),
    ]
    for ratio, found in tested:
        judged = [row for row in found.rows if row.own]
        summary = [_summary("meshslo", [row.own for row in judged if row.own], 1.0, ratio)]
        for rule, name in list(RULES.items())[:3]:
            pairs = [(row.own, row.rules[rule]) for row in judged if row.own and row.rules and rule in row.rules]
            length = median(theirs.value_s / ours.value_s for ours, theirs in pairs)
            summary.append(_summary(name, [theirs for _, theirs in pairs], length, ratio))
        heads = ["rule", "promises kept", "mean cut", "worst cut", "length"]
        lines += [f"{share(ratio)} promised, {len(judged)} judgements:\n", _table(heads, summary), ""]
        lines.append(_prose(_where_broken(found)))
    return "\n".join(lines)


def _summary(name: str, judged: Sequence[Judged], length: float, ratio: float) -> list[str]:
    rates = [each.observed_rate for each in judged]
    kept = sum(each.kept_promise for each in judged)
    return [name, f"{kept} of {len(judged)}", share(sum(rates) / len(rates)), share(max(rates)), f"{length:.2g}"]


def _where_broken(found: Backtest) -> str:
    services = sorted({str(row.target["hop"]).partition(">")[2].partition("/")[0] for row in found.broken})
    late = sum(row.judged_from >= "2022-08-22T07:52" for row in found.broken)
    return (
        f"Of the {len(found.broken)} broken promises {late} are of the last window, in which adservice was"
        f" made to fail at 07:53;"
        f" they are of operations of {', '.join(services)}. No sample of calm minutes promises anything of a"
        f" fault that is yet to"
        " come."
    )


@dataclass(frozen=True)
class _Covered:
    """How often an interval held the truth."""

    what: str
    held: int
    of: int

    def cells(self) -> list[str]:
        return [self.what, f"{self.held} of {self.of}", f"{100 * self.held / self.of:.1f} %"]


def _coverage(hosted: pl.DataFrame, shop: pl.DataFrame) -> str:
    heads = ["95 % interval of", "held the truth", "share"]
    return "\n".join(
        [
            "## Do intervals hold what they say?\n",
            _prose(
                "Each set of real durations is taken for the truth, samples are drawn from it, and the interval of"
                " each sample is"
                f" asked whether it holds the set's own quantile ({SAMPLES} samples each; some cut: every call meets"
                f" a caller who"
                " may leave). An interval ends at durations that were seen. Where a set has few different ones it"
                " holds the truth"
                " more often than it must, as of the 150 totals here."
            ),
            _table(heads, (each.cells() for each in _drawn(hosted, shop))),
            "",
            _prose(
                "Between one time and the next it is another question, which no sample answers: does the interval of"
                " what was hold"
                " what comes? For the shop, targets and slices as above, of 200 calls and more (what comes next is a sample"
                " itself, so that even a service that never changes would be held somewhat less often than 95 %):"
            ),
            _table(heads, (each.cells() for each in _later(shop))),
            "",
        ]
    )


def _drawn(hosted: pl.DataFrame, shop: pl.DataFrame) -> Iterator[_Covered]:
    sets = {
        "calls of a hosted model": hosted.filter(callee="anyscale", outcome="ok")["duration_s"].to_numpy(),
        "calls of the shop's checkout": shop.filter(pl.col("hop").str.contains("Checkout"))["duration_s"].to_numpy(),
    }
    for name, durations in sets.items():
        for q, calls in ((0.5, 200), (0.95, 500), (0.99, 2000)):
            for cut in (False, True):
                held, of = _held(durations, q, calls, cut=cut)
                yield _Covered(f"p{100 * q:g}, {calls:,} {name}{', some cut' if cut else ''}", held, of)


def _held(durations: np.ndarray, q: float, calls: int, *, cut: bool) -> tuple[int, int]:
    """Of the samples that identify the quantile, those whose interval holds it, and how many there are."""
    rng = np.random.default_rng(20261126)
    truth = float(np.sort(durations)[int(np.ceil(q * len(durations) - 1e-9)) - 1])
    drawn = rng.choice(durations, (SAMPLES, calls))
    patience = rng.exponential(8 * float(np.quantile(durations, q)), drawn.shape) if cut else np.full(drawn.shape, np.inf)
    found = held(life_tables_of(np.minimum(drawn, patience), drawn <= patience).quantiles(q, 0.95), truth)
    return int(found.sum()), len(found)


def _later(shop: pl.DataFrame) -> Iterator[_Covered]:
    cuts = [shop["start"].quantile(n / SLICES, "higher") for n in range(SLICES // 2, SLICES)]
    for q in (0.5, 0.95):
        held = of = 0
        for begin, end in zip(cuts, [*cuts[1:], None], strict=True):
            before = shop.filter(pl.col("start") < begin).partition_by("hop", as_dict=True)
            after = shop.filter(pl.col("start") >= begin, True if end is None else pl.col("start") < end)
            for hop, part in after.partition_by("hop", as_dict=True).items():
                if hop in before and min(part.height, before[hop].height) >= 200:
                    found = LifeTable.from_durations(before[hop]["duration_s"].to_numpy()).quantile(q)
                    value = float(part["duration_s"].quantile(q, "higher"))  # type: ignore[arg-type]  # durations are there
                    of += 1
                    held += (found.low_s or 0.0) <= value <= (found.high_s or np.inf)
        yield _Covered(f"p{100 * q:g}, on what came in the next slice", held, of)


_TAIL: Final = """## What this shows, and what it does not

* Promises from few calls are kept by being wide: with 105 calls the bound of the 95 % quantile is near the longest call
  seen.
* Where a service changes, a bound of the past is broken by the future, ours as well as any. Rules of thumb are broken
  less often where they are longer, and more often where they are not: mean + 3 sigma knows nothing of the tail.
* So a recommendation carries the calls it was learned on and until when to trust it, hours that differ widen it, and
  `meshslo recommend --check` says which promise no longer holds, and since when.
* These are small files: an hour at most, without a day's or a week's season. `meshslo backtest --split day` asks your
  own weeks.
"""


def _rules(row: Row) -> list[Judged]:
    return [row.rules[rule] for rule in list(RULES)[:3] if row.rules and rule in row.rules]


def _rate(own: Judged) -> str:
    broken = "" if own.kept_promise else " **broken**"
    return f"{share(own.observed_rate)} ({share(own.observed_low)} to {share(own.observed_high)}){broken}"


def _kept(found: Backtest) -> str:
    judged = [row.own for row in found.rows if row.own]
    mean = sum(each.observed_rate for each in judged) / len(judged)
    return f"{len(judged) - len(found.broken)} of {len(judged)} promises kept, {share(mean)} cut on average."


def _prose(text: str) -> str:
    return fill(text, 124, break_long_words=False) + "\n"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
