"""Localities: their levels, and weights between zones as one text, the value of `locality_distribute`."""

from collections.abc import Mapping
from typing import Final

Weights = Mapping[str, Mapping[str, int]]

LEVELS: Final = {
    "topology.kubernetes.io/region": "region",
    "topology.kubernetes.io/zone": "zone",
    "topology.istio.io/subzone": "sub_zone",
}
"""Label of a node -> the part of Envoy's locality that holds it, widest first."""


def write_weights(weights: Weights) -> str:
    """The text of weights: per cent of each zone's calls to each zone; `parse_weights` is the inverse.

    >>> write_weights({"a": {"a": 70, "b": 30}, "b": {"b": 100}})
    'a>a=70,a>b=30,b>b=100'
    """
    return ",".join(f"{zone}>{other}={part}" for zone, parts in weights.items() for other, part in parts.items())


def parse_weights(text: str) -> dict[str, dict[str, int]]:
    """The weights in a text: per cent by zone of the caller and zone of the callee.

    >>> parse_weights("a>a=70,a>b=30,b>b=100")
    {'a': {'a': 70, 'b': 30}, 'b': {'b': 100}}
    """
    found: dict[str, dict[str, int]] = {}
    for entry in text.split(","):
        pair, _, part = entry.partition("=")
        zone, _, other = pair.partition(">")
        found.setdefault(zone, {})[other] = int(part)
    return found
