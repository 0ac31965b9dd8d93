"""What is said of releases agrees with the CRDs of those that are at hand."""

from typing import Any

import pytest

from meshslo.analysis.policy.kinds import MESH
from meshslo.analysis.policy.versions import (
    BUDGET_PERCENT,
    DEFECTS,
    FIELDS,
    STABLE,
    Field,
    named_versions,
    parse_version,
)
from meshslo.telemetry.errors import BadConfigError
from tests.support.crds import schemas

ISTIO = ("1.30.3", "1.31.0-rc.0")


def knows(schema: Any, path: str) -> bool:
    """Whether a CRD's schema has the field below `spec`."""
    node = schema["properties"]["spec"]
    for part in path.split("."):
        node = node.get("properties", {}).get(part.removesuffix("[]"))
        if node is None:
            return False
        node = node["items"] if part.endswith("[]") else node
    return True


@pytest.mark.parametrize("release", ISTIO)
@pytest.mark.parametrize("field", [field for field in FIELDS if field.mesh == "istio"], ids=lambda field: field.path)
def test_istios_schema_has_a_field_from_its_release_on(field: Field, release: str) -> None:
    found = knows(schemas("istio", release)["networking.istio.io/v1", field.kind], field.path)
    read = parse_version(field.since) <= parse_version(release)
    # One field is in a schema before any code reads it.
    assert found == read or (found and "no code reads it" in field.before)


@pytest.mark.parametrize("field", [field for field in FIELDS if field.mesh == "envoy-gateway"], ids=lambda field: field.path)
def test_envoy_gateways_newest_has_every_field(field: Field) -> None:
    assert knows(schemas("envoy-gateway")["gateway.envoyproxy.io/v1alpha1", field.kind], field.path)


@pytest.mark.parametrize(
    "folder", [("istio", "1.30.3"), ("istio", "1.31.0-rc.0"), ("gateway-api",), ("linkerd",), ("envoy-gateway",)]
)
def test_every_kind_and_version_of_the_crds_is_known(folder: tuple[str, ...]) -> None:
    for api, kind in schemas(*folder):
        group, _, version = api.partition("/")
        assert version in MESH[group, kind]


def test_no_candidate_is_taken_for_stable() -> None:
    for release in STABLE.values():
        assert "-" not in release
    assert {defect.mesh for defect in DEFECTS} | {field.mesh for field in FIELDS} <= set(STABLE)


@pytest.mark.parametrize(
    ("release", "has"),
    [("1.26.4", False), ("1.27.3", True), ("1.28.5", True), ("1.28.6", False), ("1.29.1", True), ("1.29.2", False)],
)
def test_a_defect_is_of_its_releases_alone(release: str, has: bool) -> None:
    assert BUDGET_PERCENT.has(parse_version(release)) is has


@pytest.mark.parametrize("pair", ["1.30", "consul=1.2", "istio=newest"])
def test_what_names_no_release_is_said(pair: str) -> None:
    with pytest.raises(BadConfigError):
        named_versions([pair])
