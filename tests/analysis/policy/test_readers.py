"""The laws of every reader, on manifests that people wrote and on some of our own."""

import re

import pytest

from meshslo.analysis.policy import readers
from meshslo.analysis.policy.deployed import Deployed, Placed, Reader
from meshslo.analysis.policy.manifest import load
from meshslo.telemetry.discovery import members
from tests.support.manifests import EVERY_MESH
from tests.support.shared import shared

READERS: dict[str, Reader] = {type(reader).__name__: reader for reader in members(readers, "READER")}  # type: ignore[misc]

pytestmark = pytest.mark.parametrize("reader", READERS.values(), ids=READERS)


def texts() -> dict[str, str]:
    folder = shared("data", "manifests")
    wild = {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*.yaml"))}
    return EVERY_MESH | wild


def read(reader: Reader, every: dict[str, str]) -> Deployed:
    manifests = [manifest for name, text in every.items() for manifest in load(text, name)]
    return reader.read([manifest for manifest in manifests if reader.reads(manifest)], "x-model")


def values(deployed: Deployed) -> list[Placed]:
    return [placed for rule in (*deployed.routes, *deployed.clusters) for placed in rule.settings.values()]


def test_it_finds_something_and_the_same_again(reader: Reader) -> None:
    first = read(reader, texts())
    assert values(first)
    assert read(reader, texts()) == first


def test_every_value_stands_on_a_line_of_its_file(reader: Reader) -> None:
    every = texts()
    for placed in values(read(reader, every)):
        match = re.match(r"(.+):(\d+)", placed.source)
        assert match is not None
        assert every[match[1]].splitlines()[int(match[2]) - 1].strip()


def test_what_is_no_mesh_policy_is_passed_over(reader: Reader) -> None:
    (manifest,) = load("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", "x.yaml")
    assert not reader.reads(manifest)


def test_nothing_is_read_from_nothing(reader: Reader) -> None:
    assert reader.read([], "x-model") == Deployed()
