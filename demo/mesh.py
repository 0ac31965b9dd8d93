"""The mesh as it stands at the start: one Envoy in front of each service, with the mistakes that people make."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from .settings import ROUTES

API: Final = "type.googleapis.com/envoy"
BLANKET: Final = "5xx,reset"
"""Repeats whatever failed, whether or not the callee has begun."""


@dataclass(frozen=True)
class Policy:
    """What one proxy enforces on its route; None leaves the timer off, a `paced` one stretches with the model's pace."""

    timeout_s: float | None = None
    paced: bool = True
    retry_on: str | None = None
    retries: int = 0


MISTAKES: Final[dict[str, Policy]] = {
    "gateway": Policy(timeout_s=3.0, retry_on=BLANKET, retries=2),
    "retriever": Policy(retry_on=BLANKET, retries=2),
    "reranker": Policy(timeout_s=0.25, paced=False),
    "generator": Policy(timeout_s=3.0, retry_on=BLANKET, retries=2),
}
"""A 3 s timeout on streams, blanket retries at two layers of every path, a reranker timeout its slow replica cannot keep."""


@dataclass(frozen=True)
class Endpoint:
    """A replica's port and its share of the load."""

    port: int
    weight: int = 20


@dataclass(frozen=True)
class Proxy:
    """One Envoy: the service it stands in front of, where it listens, and the replicas behind it."""

    service: str
    port: int
    admin_port: int
    collector_port: int
    endpoints: tuple[Endpoint, ...]
    pace: float = 1.0
    policy: Policy = field(default_factory=Policy)

    def bootstrap(self) -> dict[str, Any]:
        """Envoy's static configuration."""
        return {
            "node": {"id": f"{self.service}-proxy-0", "cluster": self.service},
            "admin": {"address": address(self.admin_port)},
            "layered_runtime": runtime(),
            "static_resources": {
                "listeners": [{"name": self.service, "address": address(self.port), "filter_chains": [self._filters()]}],
                "clusters": [self._callee(), cluster("collector", (Endpoint(self.collector_port),))],
            },
        }

    def write(self, folder: Path) -> Path:
        """Write the bootstrap as FOLDER/SERVICE.yaml."""
        path = folder / f"{self.service}.yaml"
        path.write_text(yaml.safe_dump(self.bootstrap(), sort_keys=False, width=120))
        return path

    def _filters(self) -> dict[str, Any]:
        router = {"@type": f"{API}.extensions.filters.http.router.v3.Router"}
        manager = {
            "@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": self.service,
            # A client sees a cut HTTP/1.1 stream when its connection closes: at once, not after Envoy's second of grace.
            "delayed_close_timeout": "0.02s",
            "tracing": tracing(self.service, self.collector_port),
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
            "route_config": {"name": self.service, "virtual_hosts": [self._host()]},
        }
        return {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}

    def _host(self) -> dict[str, Any]:
        route = ROUTES[self.service]
        return {
            "name": self.service,
            "domains": ["*"],
            "include_request_attempt_count": True,  # as Istio does: the service then knows which attempt it serves
            "routes": [
                {
                    "name": self.service,
                    "match": {"prefix": route},
                    "route": {"cluster": self.service, **self._policy()},
                    # Envoy's spans know no route template: the tag says it.
                    "tracing": {"custom_tags": [{"tag": "http.route", "literal": {"value": route}}]},
                }
            ],
        }

    def _policy(self) -> dict[str, Any]:
        limit_s = self.policy.timeout_s
        pace = self.pace if self.policy.paced else 1.0
        action: dict[str, Any] = {"timeout": f"{limit_s * pace:g}s" if limit_s else "0s"}
        if self.policy.retry_on:
            action["retry_policy"] = {"retry_on": self.policy.retry_on, "num_retries": self.policy.retries}
        return action

    def _callee(self) -> dict[str, Any]:
        protocol = {
            "@type": f"{API}.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": {}},
            # Shorter than the service's own keep-alive, so that the proxy never sends into a connection that just closed.
            "common_http_protocol_options": {"idle_timeout": "60s"},
        }
        return {
            **cluster(self.service, self.endpoints),
            "connect_timeout": "1s",
            # Istio's default: as good as no limit. Envoy's own would be 3 retries at a time.
            "circuit_breakers": {"thresholds": [{"max_retries": 4294967295}]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": protocol},
        }


def runtime(**more: int) -> dict[str, Any]:
    """Envoy's runtime with spans sent every half second, and `more` of the tracer's settings."""
    settings = {"flush_interval_ms": 500, **more}
    named = {f"tracing.opentelemetry.{name}": value for name, value in settings.items()}
    return {"layers": [{"name": "tracing", "static_layer": named}]}


def tracing(service: str, collector_port: int, tags: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """A listener's tracing under the name of its service: tenant and model by header, and further tags."""
    uri = {"uri": f"http://127.0.0.1:{collector_port}/v1/traces", "cluster": "collector", "timeout": "30s"}
    tracer = {
        "@type": f"{API}.config.trace.v3.OpenTelemetryConfig",
        "service_name": service,
        "http_service": {"http_uri": uri},
    }
    return {
        "verbose": True,
        "spawn_upstream_span": True,
        "custom_tags": [
            {"tag": "tenant.id", "request_header": {"name": "x-tenant-id"}},
            {"tag": "gen_ai.request.model", "request_header": {"name": "x-model"}},
            *tags,
        ],
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
    }


def cluster(name: str, endpoints: tuple[Endpoint, ...]) -> dict[str, Any]:
    """A cluster of these endpoints."""
    places = [
        {"endpoint": {"address": address(endpoint.port)}, "load_balancing_weight": endpoint.weight} for endpoint in endpoints
    ]
    return {"name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": places}]}}


def address(port: int) -> dict[str, Any]:
    """A port on loopback."""
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
