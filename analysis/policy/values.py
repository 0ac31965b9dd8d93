"""A value found in a manifest, and how it says that nobody set it."""

from dataclasses import dataclass


def defaults_of(mesh: str, place: str) -> str:
    """How a value's source says that nobody set it: the mesh does so unasked.

    >>> is_default(defaults_of("Envoy", "front.yaml:7"))
    True
    """
    return f"{place} ({mesh}'s default)"


def is_default(source: str) -> bool:
    """Whether a value's source is a mesh's own default."""
    return source.endswith("'s default)")


@dataclass(frozen=True)
class Placed:
    """A value and where it stands, "file.yaml:17"."""

    value: float | int | str
    unit: str
    source: str
