"""The wheel that people install: light for a service, complete for an analyst, and as the checkout says it is."""

import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.shared import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("packaging")]


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program away from the checkout, so that only what is installed can be imported."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    return subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    # From a copy: a build writes into its tree, where another one may be under way.
    tree = folder / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "demo-out"))
    built = run(sys.executable, "-m", "build", "--wheel", "--outdir", folder, tree, cwd=folder)
    assert built.returncode == 0, built.stdout + built.stderr
    return next(folder.glob("meshslo-*.whl"))


def install(wheel: Path, folder: Path, extra: str = "") -> Path:
    """The Python of a new environment that holds the wheel and what it asks for, at the pinned versions."""
    venv.create(folder)
    python, constraints = folder / "bin" / "python", ROOT / "constraints.txt"
    # uv takes a sixth of pip's time; pip knows settings of a machine that uv does not read.
    for program in (("uv", "pip", "install", "--python", python), ("pip", "--python", python, "install", "--no-compile")):
        done = run(sys.executable, "-m", *program, "--quiet", "-c", constraints, f"{wheel}{extra}", cwd=folder)
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stderr
    return python


def test_wheel_holds_the_packages_and_nothing_at_top_level(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"meshslo"}
    shipped = {name.removeprefix("meshslo/") for name in names if name.endswith(".py")}
    expected = {
        str(path.relative_to(ROOT))
        for folder in ("telemetry", "analysis", "dashboards", "demo")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert shipped == expected
    assert "meshslo/telemetry/py.typed" in names


def test_plain_install_needs_opentelemetry_only_and_says_what_is_missing(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "plain")
    imported = run(python, "-c", "import meshslo.telemetry as t; print(callable(t.setup))", cwd=tmp_path)
    assert imported.stdout.strip() == "True", imported.stderr
    absent = run(python, "-c", "import polars", cwd=tmp_path)
    assert absent.returncode != 0
    command = run(tmp_path / "plain" / "bin" / "meshslo", "--help", cwd=tmp_path)
    assert command.returncode == 2
    assert command.stderr.strip().splitlines() == [
        "meshslo's command line needs more than the instrumentation: pip install 'meshslo[analysis]'"
    ]


def test_analysis_install_has_the_command(wheel: Path, tmp_path: Path) -> None:
    install(wheel, tmp_path / "full", "[analysis]")
    command = run(tmp_path / "full" / "bin" / "meshslo", "--help", cwd=tmp_path)
    assert command.returncode == 0, command.stderr
    assert "report" in command.stdout
    report = run(tmp_path / "full" / "bin" / "meshslo", "report", "--store", "nowhere", cwd=tmp_path)
    assert report.returncode == 2
    assert "Traceback" not in report.stderr
    assert "nowhere" in report.stderr
