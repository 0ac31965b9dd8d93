"""What a failover would have done and what the other place is like, in words."""

from meshslo.analysis.failover.side import Side
from meshslo.analysis.failover.spill import Spill
from meshslo.analysis.failover.trial import Trial
from meshslo.analysis.quantile import Interval, Quantile

from .words import amount, count, seconds, share


def trigger(trial: Trial, by_slowness: Spill | None, timer_s: float | None) -> str:
    """What would have set it off, how often and how long, and how often calls would have gone back and forth."""
    spill, limit = trial.spill, trial.rules.consecutive_5xx
    asked = int(trial.is_first.sum())
    said = f"{limit} failures in a row of one endpoint"
    if spill.failovers:
        longest = max(each.length_s for each in spill.failovers)
        said += (
            f" would have set it off {_times(len(spill.failovers))}, for {seconds(spill.length_s)} in all (the longest "
            f"{seconds(longest)}), moving {count(spill.moved)} calls and sparing {count(trial.spared)} failures"
        )
    else:
        said += f" came not once in {count(asked)} calls: nothing would have set it off"
    return f"{said}{_flaps(trial)}; {_slowness(spill, by_slowness, timer_s)}"


def _flaps(trial: Trial) -> str:
    if not trial.spill.flaps:
        return ""
    each = f"{trial.rules.consecutive_5xx} more failures each"
    return f"; {_times(trial.spill.flaps)} an endpoint would have come back only to be ejected again, with {each}"


def _slowness(spill: Spill, by_slowness: Spill | None, timer_s: float | None) -> str:
    if by_slowness is None or timer_s is None:
        return "slowness alone sets nothing off, and calls are too few for a timer that would make failures of it"
    more = len(by_slowness.failovers) - len(spill.failovers)
    times = f"it would have {_times(more)} more" if more > 0 else "it would not have either"
    return f"slowness alone sets nothing off; with a first-token timer of {seconds(timer_s)} {times}"


def beside(first: Side, second: Side) -> str:
    """The other place: its waits, failures and money beside those of the preferred one, and what it was seen to bear."""
    waits = f"{_p95(second.first_token_p95)} (p95), at {first.name} within {_p95(first.first_token_p95)}"
    parts = [f"at {second.name} first tokens come within {waits}", f"{_ratio(second.failed)} fail there"]
    if first.cost is not None and second.cost is not None:
        parts.append(f"a call's tokens cost {_money(second.cost)} there and {_money(first.cost)} at {first.name}")
    return "; ".join([*parts, _room(first, second)])


def _room(first: Side, second: Side) -> str:
    seen = f"{second.name} was seen with {count(second.peak)} calls at a time"
    if second.peak >= first.peak:
        return f"{seen}, which is as many as {first.name} has"
    return f"{seen}: whether it bears the {count(first.peak)} of {first.name} is not known"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{count(number)} times"


def _p95(found: Quantile) -> str:
    if found.value_s is None:
        return "a time not known yet"
    if found.status == "at_least" or found.low_s is None or found.high_s is None:
        return f"{seconds(found.value_s)} or more"
    return f"{seconds(found.value_s)} ({seconds(found.low_s)} to {seconds(found.high_s)})"


def _ratio(found: Interval) -> str:
    return f"{share(found.estimate)} ({share(found.low)} to {share(found.high)})"


def _money(found: Interval) -> str:
    return f"{amount(found.estimate)} ({amount(found.low)} to {amount(found.high)})"
