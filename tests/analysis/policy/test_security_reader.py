import pytest

from meshslo.analysis.policy.deployed import read_deployed
from tests.support.manifests import ISTIO_SECURITY


@pytest.mark.parametrize(
    ("setting", "callee", "value"),
    [
        ("mtls_strict", "generator", "STRICT"),
        ("mtls_strict", "retriever", "PERMISSIVE"),
        ("allowed_principals", "generator", "cluster.local/ns/rag/sa/gateway"),
        ("allowed_principals", "retriever", None),
        ("allowed_egress_hosts", "gateway", "api.provider.example"),
        ("outbound_mode", "gateway", "REGISTRY_ONLY"),
    ],
)
def test_who_may_call_whom_is_read(setting: str, callee: str, value: str | None) -> None:
    found = read_deployed({"s.yaml": ISTIO_SECURITY}).find(setting, callee)
    assert (None if found is None else found.value) == value


def test_policies_of_one_workload_let_in_together() -> None:
    second = """\
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: batch, namespace: rag}
spec:
  selector: {matchLabels: {app: generator}}
  rules: [{from: [{source: {serviceAccounts: [rag/batch]}}]}, {to: [{operation: {paths: [/healthz]}}]}]
"""
    found = read_deployed({"s.yaml": ISTIO_SECURITY + second}).find("allowed_principals", "generator")
    assert found is not None
    assert found.value == "*,cluster.local/ns/rag/sa/gateway,rag/batch"


def test_a_block_without_a_mode_is_registry_only() -> None:
    text = ISTIO_SECURITY.replace("{mode: REGISTRY_ONLY}", "{}")
    found = read_deployed({"s.yaml": text}).find("outbound_mode", "gateway")
    assert found is not None
    assert found.value == "REGISTRY_ONLY"
