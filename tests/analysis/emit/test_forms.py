"""Emitted policies as a Kustomize component and as a diff."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.emit.forms import as_diff, as_kustomize, merge_patch
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.telemetry.errors import BadConfigError, BadInputError
from tests.support.policies import advice_of, retries, timeout, wanted

CURRENT = """\
# Kept by the platform team.
apiVersion: v1
kind: Service
metadata:
  name: generator
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: generator-routes
  namespace: rag
spec:
  hosts:
  - generator.rag.svc.cluster.local
  http:
  - name: primary  # canary since Monday
    route:
    - destination: {host: generator.rag.svc.cluster.local, subset: v1}
    timeout: 3s
--- # the last
apiVersion: v1
kind: Secret
metadata: {name: key}
"""
ADVICE = advice_of(timeout(45.0), timeout(60.0, model="large"), *retries(1))


def texts(emission: Emission) -> dict[str, str]:
    return {document.path: document.text for document in emission.documents}


def merged(document: Any, patch: Any) -> Any:
    """RFC 7386, section 2, as it stands there."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


VALUES = st.recursive(
    st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPPINGS = st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3)


@given(old=MAPPINGS, new=MAPPINGS)
def test_a_merge_patch_makes_the_new_of_the_old(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, merge_patch(old, new)) == new
    assert merge_patch(new, new) == {}


def test_kustomize_patches_what_is_in_use_and_adds_what_is_not() -> None:
    manifests = {"all.yaml": CURRENT}
    plain = emit("istio", ADVICE, manifests=manifests)
    files = texts(as_kustomize(plain, manifests))
    assert yaml.safe_load(files["kustomization.yaml"]) == {
        "apiVersion": "kustomize.config.k8s.io/v1alpha1",
        "kind": "Component",
        "resources": ["resources/generator.yaml"],
        "patches": [{"path": "patches/virtualservice-generator-routes.yaml"}],
    }
    patch = yaml.safe_load(files["patches/virtualservice-generator-routes.yaml"])
    assert set(patch["spec"]) == {"http"}
    assert patch["metadata"] == {"name": "generator-routes", "namespace": "rag"}
    _, current, _ = yaml.safe_load_all(CURRENT)
    wanted, added = (body for document in plain.documents for body in yaml.safe_load_all(document.text))
    assert merged(current, patch) == wanted
    assert yaml.safe_load(files["resources/generator.yaml"]) == added


def test_a_patch_of_annotations_names_what_it_is_for() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: generator, namespace: rag}\n"
    advice = advice_of(wanted("consecutive_5xx", 4, route=None))
    files = texts(as_kustomize(emit("linkerd", advice, manifests={"s.yaml": service}), {"s.yaml": service}))
    metadata = yaml.safe_load(files["patches/service-generator.yaml"])["metadata"]
    assert (metadata["name"], metadata["namespace"], len(metadata["annotations"])) == ("generator", "rag", 2)


def test_kustomize_of_what_holds_already_is_nothing() -> None:
    once = texts(emit("istio", ADVICE))
    assert as_kustomize(emit("istio", ADVICE, manifests=once), once).documents == ()


def test_kustomize_is_not_for_envoys_own_files() -> None:
    with pytest.raises(BadConfigError, match="no Kubernetes resource"):
        as_kustomize(emit("envoy", ADVICE), {})


def applied(folder: Path, manifests: dict[str, str], diff: str) -> dict[str, str]:
    """The files after `git apply`."""
    for name, text in manifests.items():
        (folder / name).write_text(text)
    subprocess.run(["git", "apply", "-"], cwd=folder, input=diff, text=True, check=True)
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("mesh", ["istio", "gateway-api", "linkerd", "envoy-gateway"])
def test_a_diff_makes_the_policies_of_the_files_in_use(tmp_path: Path, mesh: str) -> None:
    before = texts(emit(mesh, advice_of(timeout(10.0), *retries(1))))
    plain = emit(mesh, ADVICE, manifests=before)
    (document,) = as_diff(plain, before).documents
    assert document.path == "changes.diff"
    after = applied(tmp_path, before, document.text)
    assert read_deployed(after).find("total_timeout", "generator", "/v1/chat", "large").value == 60.0  # type: ignore[union-attr]
    assert as_diff(emit(mesh, ADVICE, manifests=after), after).documents == ()


def test_a_diff_leaves_other_lines_alone(tmp_path: Path) -> None:
    manifests = {"all.yaml": CURRENT}
    (document,) = as_diff(emit("istio", ADVICE, manifests=manifests), manifests).documents
    changed = [line for line in document.text.splitlines() if not line.startswith(("---", "+++"))]
    added = {line[1:].split("#")[0].rstrip() for line in changed if line.startswith("+")}
    # A comment may move by a column.
    assert {line[1:].split("#")[0].rstrip() for line in changed if line.startswith("-")} <= added
    assert "# meshslo: gateway>generator" in document.text
    after = applied(tmp_path, manifests, document.text)
    assert set(after) == {"all.yaml", "generator.yaml"}
    assert after["all.yaml"].endswith("--- # the last\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\n")


def test_a_diff_of_envoys_own_file(tmp_path: Path) -> None:
    before = texts(emit("envoy", advice_of(timeout(10.0), *retries(1))))
    (document,) = as_diff(emit("envoy", ADVICE, manifests=before), before).documents
    after = applied(tmp_path, before, document.text)
    assert read_deployed(after).find("total_timeout", "generator", "/v1/chat").value == 45.0  # type: ignore[union-attr]


def test_a_diff_of_envoys_own_file_leaves_other_lines_alone() -> None:
    """Lists there are mostly written with their dashes right under the key."""
    emitted = texts(emit("envoy", advice_of(timeout(10.0), *retries(1))))
    before = {name: f"# Ours.\n{yaml.safe_dump(yaml.safe_load(text), sort_keys=False)}" for name, text in emitted.items()}
    (document,) = as_diff(emit("envoy", ADVICE, manifests=before), before).documents
    removed = [line for line in document.text.splitlines() if line.startswith("-") and not line.startswith("---")]
    assert [line.strip("- ") for line in removed] == ["timeout: 10s"]


def test_json_in_use_cannot_be_diffed() -> None:
    import json

    _, current, _ = yaml.safe_load_all(CURRENT)
    manifests = {"vs.json": json.dumps({"apiVersion": "v1", "kind": "List", "items": [current]})}
    with pytest.raises(BadInputError, match=r"vs\.json is JSON or a list"):
        as_diff(emit("istio", ADVICE, manifests=manifests), manifests)
