"""Recording rules and alerts of one objective: multiwindow, multi-burn-rate, with the windows of `analysis.slo.windows`.

Rules of a group run one after the other, so an alert sees the counts of its own evaluation. What is recorded says of whose
metrics it is (label `producer`), so that the rules of several can be loaded together.
"""

from collections.abc import Iterator
from typing import Any, Final

from meshslo.analysis.slo.objective import Objective
from meshslo.analysis.slo.windows import FEWEST_FAILURES, BurnWindow, burn_windows, window_text

from .indicators import Indicator
from .runbooks import UNSEEN, burn_steps, literal

BASE: Final = "5m"
"""Window of the counts that are added up over the objective's own window; every table of windows has it."""

Rule = dict[str, Any]


def burn_group(indicator: Indicator) -> dict[str, Any]:
    """The rule group of an objective."""
    objective = indicator.objective
    rules = [*_recorded(indicator), *_budget(indicator), *_alerts(indicator), _unseen(indicator)]
    return {"name": f"meshslo-slo-{objective.name}", "rules": rules}


def unreachable(objective: Objective) -> Iterator[str]:
    """Sentences on alerts left out since not even failing altogether would reach their burn rate."""
    for window in burn_windows(objective.window_s):
        if not _is_reachable(objective, window):
            yield (
                f'slo "{objective.name}": no alert at {window.factor(objective.window_s):g} times the budget of '
                f"{objective.budget:g} (over {window_text(window.long_s)}): that would be more than all calls"
            )


def _is_reachable(objective: Objective, window: BurnWindow) -> bool:
    return window.factor(objective.window_s) * objective.budget < 1.0


def _recorded(indicator: Indicator) -> Iterator[Rule]:
    windows = burn_windows(indicator.objective.window_s)
    for seconds in sorted({each for window in windows for each in (window.long_s, window.short_s)}):
        window = window_text(seconds)
        for part, expr in indicator.parts(window).items():
            yield _record(f"meshslo:slo_{part}:increase{window}", expr, indicator)
        whole, good, kept, broken, asked = (
            _of(f"meshslo:slo_{part}:increase{window}", indicator) for part in ("whole", "good", "kept", "broken", "asked")
        )
        # Increases are extrapolated, each by itself: their difference may fall below 0 by a little.
        yield _record(f"meshslo:slo_broken:increase{window}", f"clamp_min({whole} - {good}, 0)", indicator)
        yield _record(f"meshslo:slo_asked:increase{window}", f"{broken} + {kept}", indicator)
        yield _record(f"meshslo:slo_broken:ratio{window}", f"{broken} / ({asked} > 0)", indicator)


def _record(name: str, expr: str, indicator: Indicator) -> Rule:
    labels = {"slo": indicator.objective.name, "producer": indicator.producer.name, **indicator.objective.selection}
    return {"record": name, "expr": expr, "labels": labels}


def _budget(indicator: Indicator) -> Iterator[Rule]:
    """Attainment over the whole window, from counts that were recorded all along: a range over weeks of raw series is slow."""
    objective = indicator.objective
    window = window_text(objective.window_s)
    broken, asked = (_of(f"meshslo:slo_{what}:increase{BASE}", indicator) for what in ("broken", "asked"))
    ratio = f"sum_over_time({broken}[{window}]) / (sum_over_time({asked}[{window}]) > 0)"
    yield _record("meshslo:slo_broken:ratio_window", ratio, indicator)
    yield _record("meshslo:slo_budget:ratio", f"vector({objective.budget:.12g})", indicator)
    left = f"1 - {_of('meshslo:slo_broken:ratio_window', indicator)} / {objective.budget:.12g}"
    yield _record("meshslo:slo_budget_left:ratio", left, indicator)


def _alerts(indicator: Indicator) -> Iterator[Rule]:
    for window in burn_windows(indicator.objective.window_s):
        if _is_reachable(indicator.objective, window):
            yield _alert(indicator, window)


def _alert(indicator: Indicator, window: BurnWindow) -> Rule:
    objective = indicator.objective
    factor = window.factor(objective.window_s)
    limit = f"{factor * objective.budget:.9g}"
    long, short = window_text(window.long_s), window_text(window.short_s)
    expr = (
        f"{_of(f'meshslo:slo_broken:ratio{long}', indicator)} > {limit} "
        f"and {_of(f'meshslo:slo_broken:ratio{short}', indicator)} > {limit} "
        # increase() extrapolates: a whole number is met within half a call.
        f"and {_of(f'meshslo:slo_broken:increase{long}', indicator)} > {FEWEST_FAILURES - 0.5:g}"
    )
    where = literal(" ".join(objective.selection.values()))
    description = (
        f"{where}: {objective}. {{{{ $value | humanizePercentage }}}} of calls broke it "
        f"in the last {long}, {objective.budget:.4g} may: at {factor:g} times that, {100 * window.share:g} % of the budget of "
        f"{objective.window} is spent in {long}."
    )
    return {
        "alert": "MeshsloBudgetBurn",
        "expr": expr,
        "labels": {"severity": window.severity, "slo": objective.name, "producer": indicator.producer.name, "window": long},
        "annotations": {
            "summary": f"{objective.name} burns its error budget over {factor:g} times too fast",
            "description": description,
            "runbook": burn_steps(objective),
        },
    }


def _unseen(indicator: Indicator) -> Rule:
    objective = indicator.objective
    return {
        "alert": "MeshsloObjectiveUnseen",
        "expr": f"absent({indicator.exists()})",
        "for": "1h",
        "labels": {"severity": "ticket", "slo": objective.name, "producer": indicator.producer.name},
        "annotations": {
            "summary": f"{objective.name} counts no calls",
            "description": f"No series of {literal(indicator.exists())} for 1 h: its budget is not watched.",
            "runbook": UNSEEN,
        },
    }


def _of(name: str, indicator: Indicator) -> str:
    return f'{name}{{slo="{indicator.objective.name}",producer="{indicator.producer.name}"}}'
