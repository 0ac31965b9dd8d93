"""What a shell proposes for options whose values are words of ours: asked for when somebody presses Tab, and then alone."""

from collections.abc import Iterable


def phases(incomplete: str) -> list[str]:
    """Phases.

    >>> phases("first")
    ['first_byte', 'first_token']
    """
    from meshslo.telemetry.vocabulary import PHASES

    return _beginning(PHASES, incomplete)


def vantages(incomplete: str) -> list[str]:
    """Vantages."""
    from meshslo.telemetry.vocabulary import VANTAGES

    return _beginning(VANTAGES, incomplete)


def kinds(incomplete: str) -> list[str]:
    """Kinds of recommendations, as `meshslo recommend` takes them."""
    from meshslo.analysis.recommend import recommenders

    return _beginning((each.plural for each in recommenders()), incomplete)


def meshes(incomplete: str) -> list[str]:
    """Meshes that policies are written for."""
    from meshslo.analysis.emit import emitters

    return _beginning(emitters(), incomplete)


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted(word for word in words if word.startswith(incomplete))
