"""The shape of the packages: imports run one way, a service pays for OpenTelemetry only, every file says what it is."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.shared import ROOT

LAYERS = ("telemetry", "analysis", "dashboards", "demo")
SOURCES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
MAX_LINES = 300


def imported(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports, at any depth of it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    own = LAYERS.index(path.relative_to(ROOT).parts[0])
    layers = {match[1] for name in imported(path) if (match := re.match(r"meshslo\.(\w+)", name))}
    above = sorted(layer for layer in layers if LAYERS.index(layer) > own)
    assert not above, f"{LAYERS[own]} must not import {above}"


def test_a_service_pays_for_opentelemetry_only() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert all(requirement.startswith("opentelemetry-") for requirement in project["dependencies"])


def test_importing_telemetry_loads_nothing_but_opentelemetry() -> None:
    program = "import sys; before = set(sys.modules); import meshslo.telemetry; print(*(set(sys.modules) - before))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    heavy = {
        "polars",
        "pyarrow",
        "numpy",
        "pydantic",
        "typer",
        "grpc",
        "starlette",
        "fastapi",
        "httpx",
        "rich",
        "pandas",
    }
    assert not heavy & {name.split(".")[0] for name in loaded}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_stays_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES
