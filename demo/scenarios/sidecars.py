"""A mesh of sidecars in one Envoy: a way out for each caller, under its own certificate, and services that ask for one.

The applications behind, and hosts outside, are listeners that answer at once: what is shown is who gets to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cryptography import x509

from meshslo.demo.certificates import Authority
from meshslo.demo.mesh import API, Endpoint, address, cluster, runtime, tracing

TRUST_DOMAIN: Final = "cluster.local"
NAMESPACE: Final = "demo"
WAY_OUT: Final = "-out"
"""Ends the names of listeners that a caller's application sends to."""


@dataclass(frozen=True)
class Workload:
    """A caller or service: its name, and the namespace of its service account."""

    name: str
    namespace: str = NAMESPACE

    @property
    def identity(self) -> str:
        """Its SPIFFE id."""
        return f"spiffe://{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.name}"


@dataclass(frozen=True)
class Sidecars:
    """The proxies of `callers`, of the `services` that they call, and of what `hosts` outside stand for; and their ports.

    ports: of each caller's way out, of each service's listener, of the application behind each service and of each host.
    """

    callers: tuple[Workload, ...]
    services: tuple[Workload, ...]
    hosts: tuple[str, ...]
    ports: dict[str, int]
    authority: Authority

    @classmethod
    def names(cls, callers: Sequence[Workload], services: Sequence[Workload], hosts: Sequence[str]) -> list[str]:
        """The listeners that need a port each."""
        ways_out = [f"{caller.name}{WAY_OUT}" for caller in callers]
        return [*ways_out, *(name for service in services for name in (service.name, _app(service.name))), *hosts]

    @property
    def answering(self) -> list[str]:
        """The listeners of applications and hosts behind the proxies."""
        return [*(_app(service.name) for service in self.services), *self.hosts]

    def bootstrap(self, admin_port: int, collector_port: int) -> dict[str, Any]:
        """Envoy's static configuration: everybody with a certificate may call everything, and every host."""
        ways_out = [self._way_out(caller, collector_port) for caller in self.callers]
        inwards = [self._inward(service, collector_port) for service in self.services]
        answers = [self._answers(name) for name in self.answering]
        return {
            "node": {"id": "sidecars-0", "cluster": "sidecars"},
            "admin": {"address": address(admin_port)},
            # By default each five spans are a request, which a busy collector falls behind.
            "layered_runtime": runtime(min_flush_spans=100),
            "static_resources": {
                "listeners": [*ways_out, *inwards, *answers],
                "clusters": [*self._clusters(), cluster("collector", (Endpoint(collector_port),))],
            },
        }

    def _way_out(self, caller: Workload, collector_port: int) -> dict[str, Any]:
        inside = [_host(service.name, _out(caller, service)) for service in self.services]
        outside = [_host(host, _outside(host)) for host in self.hosts]
        manager = _manager(f"{caller.name}{WAY_OUT}", [*inside, *outside], tracing(caller.name, collector_port, [_ROUTE]))
        return self._listener(f"{caller.name}{WAY_OUT}", {"filters": [manager]})

    def _inward(self, service: Workload, collector_port: int) -> dict[str, Any]:
        hosts = [_host("*", f"inbound|{self.ports[_app(service.name)]}||")]
        socket = self.authority.asking_socket(x509.UniformResourceIdentifier(service.identity))
        manager = _manager(service.name, hosts, tracing(service.name, collector_port, [_ROUTE, *_PROVED]))
        return self._listener(service.name, {"filters": [manager], "transport_socket": socket})

    def _answers(self, name: str) -> dict[str, Any]:
        route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "{}"}}}
        hosts = [{"name": name, "domains": ["*"], "routes": [route]}]
        return self._listener(name, {"filters": [_manager(name, hosts, None)]})

    def _listener(self, name: str, chain: dict[str, Any]) -> dict[str, Any]:
        return {"name": name, "address": address(self.ports[name]), "filter_chains": [chain]}

    def _clusters(self) -> list[dict[str, Any]]:
        made = []
        for service in self.services:
            for caller in self.callers:
                socket = self.authority.showing_socket(caller.identity, service.identity)
                towards = cluster(_out(caller, service), (Endpoint(self.ports[service.name]),))
                made.append({**towards, "transport_socket": socket})
            port = self.ports[_app(service.name)]
            made.append(cluster(f"inbound|{port}||", (Endpoint(port),)))
        return [*made, *(cluster(_outside(host), (Endpoint(self.ports[host]),)) for host in self.hosts)]


def _app(service: str) -> str:
    return f"{service}-app"


def _out(caller: Workload, service: Workload) -> str:
    """The cluster as Istio names it; its subset sets apart the callers, who share one Envoy here."""
    return f"outbound|80|{caller.name}|{service.name}.{service.namespace}.svc.cluster.local"


def _outside(host: str) -> str:
    return f"outbound|443||{host}"


def _host(name: str, towards: str) -> dict[str, Any]:
    route = {"match": {"prefix": "/"}, "route": {"cluster": towards, "timeout": "0s"}}
    return {"name": towards, "domains": [name], "routes": [route]}


def _manager(name: str, hosts: list[dict[str, Any]], traced: dict[str, Any] | None) -> dict[str, Any]:
    router = {"@type": f"{API}.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{API}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
        "route_config": {"name": name, "virtual_hosts": hosts},
        **({} if traced is None else {"tracing": traced}),
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


ROUTE_HEADER: Final = "x-route"
"""The template that a request's path follows; a sidecar learns it from its routes."""

_ROUTE: Final = {"tag": "http.route", "request_header": {"name": ROUTE_HEADER}}
_PROVED: Final = (
    {"tag": "peer.uri_san", "value": "%DOWNSTREAM_PEER_URI_SAN%"},
    {"tag": "destination.principal", "value": "%DOWNSTREAM_LOCAL_URI_SAN%"},
)
"""What only a proxy knows: who the two sides of a connection proved to be."""
