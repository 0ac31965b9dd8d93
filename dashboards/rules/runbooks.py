"""What an alert tells whoever it wakes: which meshslo commands to run, in which order, and what to do with what they say."""

from typing import Final

from meshslo.analysis.slo.objective import Objective


def steps(*sentences: str) -> str:
    """Numbered steps in one paragraph, as annotations hold them.

    >>> steps("Look.", "Act.")
    '1. Look. 2. Act.'
    """
    return " ".join(f"{number}. {sentence}" for number, sentence in enumerate(sentences, 1))


def literal(text: str) -> str:
    """Text of a user's as an annotation shows it: annotations are Go templates, in which braces begin an action.

    >>> literal("/v1/{{id}}")
    '/v1/{{"{{"}}id}}'
    """
    return text.replace("{{", '{{"{{"}}')


def burn_steps(objective: Objective) -> str:
    """For a budget that burns too fast."""
    return steps(
        "`meshslo slo --config meshslo.toml --at now`: is it still burning, and how much budget is left?",
        f"`meshslo report --by hop,route,model,tenant --phase {objective.phase or 'total'} --since 1h`: "
        "which route, model or tenant is it, and how did its calls end?",
        "`meshslo doctor`: can the data bear that answer?",
        *(_FAILING if objective.sli == "success" else _SLOW),
    )


_FAILING: Final = (
    "Where calls end in `timeout`, a timer cuts them: `meshslo recommend timeouts --since 24h` says what it should be.",
    "Where they end in `rejected` or `error`: `meshslo recommend retries --since 24h` says whether repeating helps.",
)
_SLOW: Final = (
    "Compare with the day before: `meshslo report --since 25h --until 24h`. Is one model slower, or all of them?",
    "Do not shorten timeouts to mend this: calls that are cut leave the figure, not the problem.",
)

UNSEEN: Final = steps(
    "`meshslo doctor`: which hops are seen at all, and from which vantages?",
    "Where the hop is seen from another vantage, make the rules for it: `meshslo rules --out rules/ --vantage server`.",
    "Where nothing is seen: is `meshslo collect` up, and does Prometheus scrape it?",
)
STREAMS_CUT: Final = steps(
    "`meshslo report --phase max_gap --since 1h` and `meshslo report --phase total --since 1h`: "
    "how far did the streams come that were cut?",
    "`meshslo recommend timeouts --since 24h --current k8s/`: which timer it is and what it should be; "
    "`explore` means that the timer hides the answer.",
    "`meshslo check k8s/`: timers that contradict each other along the chain.",
)
TAIL_HIDDEN: Final = steps(
    "`meshslo report --quantile 0.99 --since 24h`: the survival estimate with its interval, or `>=` where no number is honest.",
    "`meshslo recommend timeouts --since 24h`: `explore` says how far to raise which timer to see the tail.",
)
AMPLIFIED: Final = steps(
    "`meshslo report --by hop,route --since 1h`: what fails that is repeated?",
    "`meshslo recommend retries --since 24h --current k8s/`: which layer should repeat, and at most how much.",
    "`meshslo check k8s/`: layers that repeat each other's calls.",
)
REFUSED: Final = steps(
    "`meshslo report --by hop,route --since 1h`: does the callee fail more than it did? Then the budget does its work; "
    "mend the callee.",
    "If not: `meshslo recommend retries --since 24h --current k8s/`: what the budget should be. A share of concurrent "
    "requests is much or little by how long streams are.",
)
