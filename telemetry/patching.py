"""Putting our code around a function of somebody else's class or module, once, and taking it off again."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

Method = Callable[..., Any]

_PATCHED: Final[dict[tuple[Any, str], Method]] = {}
"""The original of each method that is patched now."""


def patch(owner: Any, name: str, around: Callable[[Method], Method]) -> None:
    """Replace method `name` of `owner` by `around(original)`; where it is patched already, nothing changes."""
    if (owner, name) in _PATCHED:
        return
    original: Method = getattr(owner, name)
    _PATCHED[owner, name] = original
    setattr(owner, name, wraps(original)(around(original)))


def restore(owner: Any, name: str) -> None:
    """Put the original of method `name` back, if it was patched."""
    original = _PATCHED.pop((owner, name), None)
    if original is not None:
        setattr(owner, name, original)


def after(act: Callable[[Any], object]) -> Callable[[Method], Method]:
    """For `patch`: let the original run, then `act` on the object it ran on."""

    def around(original: Method) -> Method:
        def patched(self: Any, *args: Any, **kwargs: Any) -> Any:
            result = original(self, *args, **kwargs)
            act(self)
            return result

        return patched

    return around
