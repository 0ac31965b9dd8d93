"""PromQL's label matchers for labels that are at hand: what a profile's `match` chooses on a server, chosen here."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final

_MATCHER: Final = re.compile(r'\s*(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')
_ESCAPED: Final = re.compile(r"\\(.)")

_Rule = tuple[str, str, str]


@lru_cache(maxsize=256)
def chooser(match: str) -> Callable[[Mapping[str, str]], bool]:
    """Whether labels fit `match`, such as `direction="outbound",job!~"test.*"`; an absent label is the empty one.

    Raises ValueError where `match` is not a list of matchers. Source: Prometheus, querying basics, instant vector selectors.

    >>> chooser('job!~"test.*",le=""')({"job": "api"})
    True
    """
    rules: list[_Rule] = []
    place = 0
    while place < len(match.rstrip()):
        found = _MATCHER.match(match, place)
        if found is None:
            raise ValueError(f"{match!r} is no list of matchers from {match[place:]!r} on")
        rules.append((found[1], found[2], _ESCAPED.sub(r"\1", found[3])))
        place = found.end()
    return lambda labels: all(_fits(labels.get(name, ""), operator, wanted) for name, operator, wanted in rules)


def _fits(value: str, operator: str, wanted: str) -> bool:
    same = re.fullmatch(wanted, value) is not None if operator.endswith("~") else value == wanted
    return same is not operator.startswith("!")
