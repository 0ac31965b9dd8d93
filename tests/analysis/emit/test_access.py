"""Who may call whom as policies: valid to the mesh's own schema, least privilege, dry run first, read back as what they say."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.policy.settings import SETTINGS
from meshslo.analysis.recommend import Recommendations
from meshslo.analysis.recommend.recommendation import Evidence, Proposed, Recommendation, Target
from tests.support.crds import problems
from tests.support.golden import assert_golden

GOLDEN = Path(__file__).parent / "golden"
GATEWAY, BATCH = "cluster.local/ns/chat/sa/gateway", "cluster.local/ns/jobs/sa/batch"


def item(setting: str, value: str, hop: str, route: str | None = None) -> Recommendation:
    known = SETTINGS[setting]
    return Recommendation(
        known.kind, setting, known.code, Target(hop, route), None, Proposed(value, "names"), "change", 0.95,
        "seen in 12,345 calls", Evidence(12345, 0, 86400.0), {},
    )  # fmt: skip


ADVICE = Recommendations(
    items=(
        item("mtls_strict", "STRICT", "gateway>generator"),
        item("mtls_strict", "STRICT", "batch>generator"),
        item("allowed_principals", GATEWAY, "gateway>generator", "/v1/chat"),
        item("allowed_methods", "POST", "gateway>generator", "/v1/chat"),
        item("allowed_principals", BATCH, "batch>generator", "/v1/jobs/{id}"),
        item("allowed_egress_hosts", "api.openai.com", "generator>*"),
        item("allowed_egress_hosts", "none", "gateway>*"),
    )
)
ENFORCED = Emit(dry_run=False)


def bodies(emission: Emission) -> list[dict[str, Any]]:
    return [body for document in emission.documents for body in yaml.safe_load_all(document.text)]


@pytest.mark.parametrize("version", ["1.30.3", "1.31.0-rc.0"])
def test_istio_takes_them(version: str) -> None:
    found = bodies(emit("istio", ADVICE))
    kinds = [body["kind"] for body in found]
    assert sorted(kinds) == [
        "AuthorizationPolicy", "NetworkPolicy", "PeerAuthentication", "ServiceEntry", "Sidecar", "Sidecar",
    ]  # fmt: skip
    for body in found:
        if body["kind"] != "NetworkPolicy":
            assert problems(body, "istio", version) == []


def test_linkerd_takes_them() -> None:
    emission = emit("linkerd", ADVICE)
    for body in bodies(emission):
        assert problems(body, "gateway-api" if body["kind"] == "TLSRoute" else "linkerd") == []
    assert {missing.setting for missing in emission.unexpressed} == {"allowed_methods"}


def test_where_only_certificates_are_known_linkerd_asks_for_any() -> None:
    emission = emit("linkerd", Recommendations(items=ADVICE.items[:1]), settings=ENFORCED)
    server, authentication, _ = bodies(emission)
    assert (server["spec"]["accessPolicy"], authentication["spec"]) == ("deny", {"identities": ["*"]})
    deployed = read_deployed({document.path: document.text for document in emission.documents})
    assert (found := deployed.find("mtls_strict", "generator")) is not None
    assert found.value == "STRICT"


@pytest.mark.parametrize("mesh", ["istio", "linkerd", "envoy"])
def test_a_route_whose_callers_are_not_known_is_named_as_refused(mesh: str) -> None:
    known = item("allowed_principals", "", "gateway>generator", "/v1/embeddings")
    unknown = replace(known, proposed=None, status="not_identifiable", reason="200 more calls are needed")
    text = "".join(document.text for document in emit(mesh, Recommendations(items=(*ADVICE.items, unknown))).documents)
    said = (
        "# meshslo: calls of gateway>generator /v1/embeddings that no rule here lets in are refused: 200 more calls are needed"
    )
    assert text.count(said) == 1


@pytest.mark.parametrize("mesh", ["istio", "linkerd", "envoy"])
def test_the_golden_files(mesh: str) -> None:
    assert_golden(GOLDEN / f"access-{mesh}", emit(mesh, ADVICE))


def test_the_gateway_api_says_what_it_cannot() -> None:
    emission = emit("gateway-api", ADVICE)
    assert emission.documents == ()
    assert len(emission.unexpressed) == len(ADVICE.items)
    assert all("The closest is" in missing.reason for missing in emission.unexpressed)


def test_a_rule_joins_who_and_what_in_one_item() -> None:
    """In two items they would be two rules: anybody for the route, the principal for everything."""
    (policy,) = [body for body in bodies(emit("istio", ADVICE)) if body["kind"] == "AuthorizationPolicy"]
    assert policy["metadata"]["annotations"] == {"istio.io/dry-run": "true"}
    assert policy["spec"]["rules"] == [
        {"from": [{"source": {"principals": [BATCH]}}], "to": [{"operation": {"paths": ["/v1/jobs/{*}"]}}]},
        {
            "from": [{"source": {"principals": [GATEWAY]}}],
            "to": [{"operation": {"paths": ["/v1/chat"], "methods": ["POST"]}}],
        },
    ]


@pytest.mark.parametrize("mesh", ["istio", "envoy"])
def test_a_host_outside_is_no_service_inside(mesh: str) -> None:
    """Other settings of a hop that leads outside would else let it through."""
    timeout = replace(item("total_timeout", "1", "generator>llm.example.org"), proposed=Proposed(1.0, "s"))
    emission = emit(mesh, Recommendations(items=(*ADVICE.items, timeout)))
    (text,) = [document.text for document in emission.documents if document.path == "generator-egress.yaml"]
    assert "example" not in text


@pytest.mark.parametrize("version", ["1.30.3", "1.31.0-rc.0"])
def test_the_egress_gateway_lets_out_who_is_known_to_its_hosts_alone(version: str) -> None:
    known = item("allowed_principals", "cluster.local/ns/chat/sa/generator", "generator>vectors", "/query")
    found = bodies(emit("istio", Recommendations(items=(*ADVICE.items, known))))
    (policy,) = [body for body in found if body["metadata"]["namespace"] == "istio-system"]
    assert problems(policy, "istio", version) == []
    assert policy["metadata"]["annotations"] == {"istio.io/dry-run": "true"}
    assert policy["spec"]["selector"] == {"matchLabels": {"istio": "egressgateway"}}
    assert policy["spec"]["rules"] == [
        {
            "from": [{"source": {"principals": ["cluster.local/ns/chat/sa/generator"]}}],
            "to": [{"operation": {"hosts": ["api.openai.com", "api.openai.com:*"]}}],
        }
    ]


def test_enforced_it_is_no_dry_run() -> None:
    assert "annotations" not in yaml.safe_dump(bodies(emit("istio", ADVICE, settings=ENFORCED)))
    servers = [body for body in bodies(emit("linkerd", ADVICE, settings=ENFORCED)) if body["kind"] == "Server"]
    assert [server["spec"]["accessPolicy"] for server in servers] == ["deny"]
    filters = bodies(emit("envoy", ADVICE, settings=ENFORCED))
    assert len(filters) == 3
    assert all("rules" in rbac["typed_config"] and "shadow_rules" not in rbac["typed_config"] for rbac in filters)


def test_what_was_emitted_is_read_back() -> None:
    files = {document.path: document.text for document in emit("istio", ADVICE, settings=ENFORCED).documents}
    deployed = read_deployed(files)
    assert (found := deployed.find("mtls_strict", "generator")) is not None
    assert found.value == "STRICT"
    assert (found := deployed.find("allowed_principals", "generator")) is not None
    assert found.value == f"{GATEWAY},{BATCH}"
    assert emit("istio", ADVICE, settings=ENFORCED, manifests=files) == emit("istio", ADVICE, settings=ENFORCED)
