"""Members of a kind are found by their constant."""

import importlib
import sys
from pathlib import Path

import pytest

from meshslo.telemetry.discovery import members


def test_every_file_with_the_constant_is_a_member(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "animals_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "dog.py").write_text("ANIMAL = 'dog'")
    (folder / "cat.py").write_text("ANIMAL = 'cat'")
    (folder / "helper.py").write_text("NOTHING = 1")
    monkeypatch.syspath_prepend(tmp_path)
    try:
        package = importlib.import_module("animals_of_a_test")
        assert list(members(package, "ANIMAL")) == ["cat", "dog"]
    finally:
        for name in [name for name in sys.modules if name.startswith("animals_of_a_test")]:
            del sys.modules[name]


def test_a_package_of_a_user_adds_a_member_by_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "their_package_of_a_test.py").write_text("MINE = 'hamster'")
    metadata = tmp_path / "theirs-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[meshslo.animals]\nhamster = their_package_of_a_test:MINE\n")
    folder = tmp_path / "empty_folder_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    assert list(members(importlib.import_module("empty_folder_of_a_test"), "ANIMAL")) == ["hamster"]
