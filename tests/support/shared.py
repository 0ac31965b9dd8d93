"""The one way to what every developer and CI have at hand: real data and the meshes' schemas."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def shared(*parts: str) -> Path:
    """Path below the shared folder (`$MESHSLO_SHARED`, else `../shared`); skips where it is absent, fails where CI=true."""
    folder = Path(os.environ.get("MESHSLO_SHARED", ROOT.parent / "shared"))
    path = folder.joinpath(*parts)
    if not path.exists():
        absent(f"no {path}: set MESHSLO_SHARED to the folder of real data and schemas")
    return path


def absent(reason: str) -> None:
    """Skip the test for something that is not installed; where CI=true that is a failure."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
