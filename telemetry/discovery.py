"""Finds the members of a kind: one file each in its folder, and those that installed packages register.

Sources, recommenders, rules, emitters, panels and commands all have this shape: a file ends in one constant
(`SOURCE = ...`), and adding a member means adding its file.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType


def members(package: ModuleType, constant: str) -> Iterator[object]:
    """The `constant` of every module in `package`, by module name, then those that packages register.

    A module without the constant is a helper and passed over. Packages of users register the object itself under an entry
    point named after the constant: `SOURCE` under `meshslo.sources`, `RECOMMENDER` under `meshslo.recommenders`.
    """
    for module in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
        found = getattr(importlib.import_module(f"{package.__name__}.{module.name}"), constant, None)
        if found is not None:
            yield found
    for entry in _registered(f"meshslo.{constant.lower()}s", tuple(sys.path)):
        yield entry.load()


@cache
def _registered(group: str, _path: tuple[str, ...]) -> list[EntryPoint]:
    """What the packages on `sys.path` register, by name; read once, as it takes 15 ms where much is installed."""
    return sorted(entry_points(group=group), key=lambda entry: entry.name)
