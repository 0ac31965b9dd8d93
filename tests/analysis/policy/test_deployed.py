import pytest

from meshslo.analysis.policy.deployed import Deployed, Placed, read_deployed
from meshslo.telemetry.errors import BadInputError
from tests.support.shared import shared

ENVOY = """\
static_resources:
  listeners:
    - name: front
      filter_chains:
        - filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stream_idle_timeout: 60s
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes:
                        - match: {path: /v1/chat, headers: [{name: x-model, string_match: {exact: large}}]}
                          route: {cluster: generator, timeout: 30s, idle_timeout: 2s}
                        - match: {prefix: /admin, query_parameters: [{name: x}]}
                          route: {cluster: generator, timeout: 9s}
                        - match: {prefix: /}
                          route:
                            cluster: generator
                            timeout: 3s
                            retry_policy: {retry_on: "5xx,reset", num_retries: 2, per_try_timeout: 0.25s}
                        - match: {prefix: /}
                          route: {cluster: retriever}
  clusters:
    - name: generator
      circuit_breakers:
        thresholds:
          - retry_budget: {budget_percent: {value: 5}}
"""

ISTIO = """\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: generator}
spec:
  hosts: [generator.rag.svc.cluster.local]
  http:
    - name: large
      match:
        - uri: {exact: /v1/chat}
          headers: {x-model: {exact: large}}
      route: [{destination: {host: generator.rag.svc.cluster.local}}]
      timeout: 1m30s
      retries: {attempts: 0}
    - match:
        - headers: {x-debug: {exact: "1"}}
      route: [{destination: {host: generator.rag.svc.cluster.local}}]
      timeout: 1s
    - route: [{destination: {host: generator.rag.svc.cluster.local}}]
      timeout: 3s
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: generator}
spec:
  host: generator.rag.svc.cluster.local
  trafficPolicy: {retryBudget: {percent: 7.5}}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: idle}
spec:
  configPatches:
    - applyTo: HTTP_ROUTE
      match: {context: SIDECAR_OUTBOUND, routeConfiguration: {vhost: {route: {name: large}}}}
      patch: {operation: MERGE, value: {route: {idle_timeout: 4s}}}
"""


def value(placed: Placed | None) -> object:
    return None if placed is None else placed.value


@pytest.fixture
def envoy() -> Deployed:
    return read_deployed({"generator.yaml": ENVOY})


@pytest.fixture
def istio() -> Deployed:
    return read_deployed({"virtualservice.yaml": ISTIO})


def test_envoy_answers_with_the_first_route_that_matches(envoy: Deployed) -> None:
    assert value(envoy.find("total_timeout", "generator", "/v1/chat", "large")) == 30.0
    assert value(envoy.find("total_timeout", "generator", "/v1/chat", "small")) == 3.0
    assert value(envoy.find("total_timeout", "generator")) == 3.0


def test_a_route_for_some_calls_only_is_nobodys_answer(envoy: Deployed) -> None:
    assert value(envoy.find("total_timeout", "generator", "/admin/x")) == 3.0


def test_every_value_says_where_it_stands(envoy: Deployed) -> None:
    found = envoy.find("total_timeout", "generator", "/v1/chat", "small")
    assert found == Placed(3.0, "s", "generator.yaml:22")
    assert ENVOY.splitlines()[21].strip() == "timeout: 3s"


def test_what_envoy_does_unasked_is_said(envoy: Deployed) -> None:
    found = envoy.find("total_timeout", "retriever")
    assert found is not None
    assert (found.value, found.source) == (15.0, "generator.yaml:25 (Envoy's default)")
    assert value(envoy.find("idle_gap_timeout", "retriever")) == 60.0
    assert value(envoy.find("retry_attempts", "retriever")) == 0


def test_envoys_retries_and_budget_are_read(envoy: Deployed) -> None:
    read = [
        value(envoy.find(name, "generator")) for name in ("retry_attempts", "retry_on", "per_try_timeout", "retry_budget_ratio")
    ]
    assert read == [2, "5xx,reset", 0.25, 0.05]


def test_a_virtual_host_stands_in_for_an_unknown_cluster_name() -> None:
    text = "virtual_hosts: [{name: generator, routes: [{match: {prefix: /}, route: {cluster: c-17, timeout: 0s}}]}]"
    deployed = read_deployed({"r.yaml": text})
    assert deployed.knows("generator")
    assert deployed.find("total_timeout", "generator") is None


def test_istio_matches_path_and_model_in_order(istio: Deployed) -> None:
    assert value(istio.find("total_timeout", "generator", "/v1/chat", "large")) == 90.0
    assert istio.find("total_timeout", "generator", "/v1/chat") == Placed(3.0, "s", "virtualservice.yaml:19")


def test_istio_retries_twice_where_nothing_is_said(istio: Deployed) -> None:
    found = istio.find("retry_attempts", "generator")
    assert found is not None
    assert (found.value, "Istio's default" in found.source) == (2, True)
    assert value(istio.find("retry_attempts", "generator", "/v1/chat", "large")) == 0


def test_istios_budget_and_filtered_idle_timeout_are_read(istio: Deployed) -> None:
    assert value(istio.find("retry_budget_ratio", "generator")) == 0.075
    assert value(istio.find("idle_gap_timeout", "generator", "/v1/chat", "large")) == 4.0
    assert istio.find("idle_gap_timeout", "generator") is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: {b: 1", "x.yaml:1"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3 is no YAML: found duplicate key"),
        ("kind: {{ .Values.kind }}\n", "x.yaml:1 is a template; render it first"),
        ("- a\n- b\n", "document 1 is no mapping"),
        ("kind: ConfigMap\n", "no timeouts, retries or routes of a known mesh in x.yaml"),
        (ENVOY.replace("timeout: 3s", "timeout: soon"), '"soon" is no duration'),
    ],
)
def test_bad_manifests_are_named(text: str, sentence: str) -> None:
    with pytest.raises(BadInputError) as raised:
        read_deployed({"x.yaml": text})
    assert sentence in str(raised.value)


def test_manifests_in_the_wild_are_read() -> None:
    folder = shared("data", "manifests")
    texts = {path.name: path.read_text() for path in folder.rglob("*.yaml")}
    deployed = read_deployed(texts)
    assert len(deployed.routes) > 10
    reviews = deployed.find("retry_attempts", "reviews")
    assert reviews is not None
    assert "Istio's default" in reviews.source


@pytest.mark.parametrize(
    ("match", "route", "covered"),
    [
        ("{safe_regex: {regex: '/items/[^/]+'}}", "/items/{id}", True),
        ("{safe_regex: {regex: '/items/[0-9]+'}}", "/items/{id}", False),
        ("{prefix: /items}", "/items/{id}", True),
        ("{path_separated_prefix: /items}", "/users/{id}", False),
        ("{path: /items}", None, False),
    ],
)
def test_a_template_is_matched_as_its_calls_would_be(match: str, route: str | None, covered: bool) -> None:
    text = f"virtual_hosts: [{{name: v, routes: [{{match: {match}, route: {{cluster: generator, timeout: 7s}}}}]}}]"
    found = read_deployed({"r.yaml": text}).find("total_timeout", "generator", route)
    assert (found is not None) is covered


def test_a_route_pattern_that_is_none_is_named() -> None:
    text = "virtual_hosts: [{name: v, routes: [{match: {safe_regex: {regex: '('}}, route: {cluster: generator}}]}]"
    with pytest.raises(BadInputError, match="is no regular expression"):
        read_deployed({"r.yaml": text}).find("total_timeout", "generator", "/x")


def test_weighted_clusters_lead_to_the_first() -> None:
    weighted = "{weighted_clusters: {clusters: [{name: generator, weight: 9}, {name: canary, weight: 1}]}, timeout: 7s}"
    text = f"virtual_hosts: [{{name: v, routes: [{{match: {{prefix: /}}, route: {weighted}}}]}}]"
    assert value(read_deployed({"r.yaml": text}).find("total_timeout", "generator")) == 7.0


def test_json_is_read_too() -> None:
    route = '{"match": {"prefix": "/"}, "route": {"cluster": "generator", "timeout": "7s"}}'
    text = f'{{"virtual_hosts": [{{"name": "v", "routes": [{route}]}}]}}'
    assert value(read_deployed({"r.json": text}).find("total_timeout", "generator")) == 7.0
