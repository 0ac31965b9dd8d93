import pytest

from meshslo.analysis.policy.deployed import read_deployed
from tests.support.manifests import ISTIO_SECURITY, LINKERD_SECURITY


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


def allowed(text: str) -> object:
    found = read_deployed({"l.yaml": text}).find("allowed_principals", "generator")
    return None if found is None else found.value


def test_linkerds_identities_are_written_out_as_proxies_report_them() -> None:
    domain = "serviceaccount.identity.linkerd.cluster.local"
    assert allowed(LINKERD_SECURITY) == f"*.batch.{domain},gateway.rag.{domain}"


def test_a_linkerd_server_without_a_policy_lets_in_nobody_and_an_empty_list_everybody() -> None:
    alone = LINKERD_SECURITY.partition("---")[0]
    assert allowed(alone) == ""
    whole = LINKERD_SECURITY.partition("  requiredAuthenticationRefs")[0] + "  requiredAuthenticationRefs: []\n"
    assert allowed(whole) == "*"
