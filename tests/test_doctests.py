"""The examples in docstrings run, in the modules as they are installed."""

import doctest
import importlib
import pkgutil

import pytest

import meshslo.analysis
import meshslo.dashboards
import meshslo.demo
import meshslo.telemetry

PACKAGES = (meshslo.telemetry, meshslo.analysis, meshslo.dashboards, meshslo.demo)
MODULES = [info.name for package in PACKAGES for info in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_examples_in_docstrings_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert result.failed == 0
