"""The chain as processes: collector, replicas, and an Envoy in front of each service."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from .measure import Traffic
from .mesh import MISTAKES, Endpoint, Proxy
from .processes import Processes, envoy_binary, free_ports, listens
from .services.replica import Replica, process_name
from .settings import HOPS, ROUTES, DemoSettings

REPLICAS: Final[dict[str, int]] = {"gateway": 1, "retriever": 1, "reranker": 2, "generator": 2}
CALLEES: Final[dict[str, tuple[str, ...]]] = {"gateway": ("retriever", "generator"), "retriever": ("reranker",)}
STALE_WEIGHT = 1
"""Calls of 21 that the retriever's proxy sends to a replica that is gone: endpoints lag behind pods."""


@dataclass
class Town:
    """Everything that runs for the demo; `proxies` by service."""

    settings: DemoSettings
    processes: Processes
    store: Path
    replicas: tuple[Replica, ...]
    proxies: Mapping[str, Proxy]
    collector_port: int

    @classmethod
    def plan(cls, settings: DemoSettings, processes: Processes, store: Path) -> "Town":
        """Choose ports; nothing is started yet."""
        names = [f"{service}-{number}" for service, count in REPLICAS.items() for number in range(count)]
        collector, gone, *ports = free_ports(2 + len(names) + 2 * len(ROUTES))
        replica_ports = dict(zip(names, ports, strict=False))
        fronts = dict(zip(ROUTES, ports[len(names) :], strict=False))
        admins = dict(zip(ROUTES, ports[len(names) + len(ROUTES) :], strict=True))
        replicas = tuple(
            Replica(
                service := name.rsplit("-", 1)[0],
                name,
                port,
                {callee: f"http://127.0.0.1:{fronts[callee]}" for callee in CALLEES.get(service, ())},
                settings.pace,
            )
            for name, port in replica_ports.items()
        )
        proxies = {
            service: Proxy(
                service=service,
                port=fronts[service],
                admin_port=admins[service],
                collector_port=collector,
                endpoints=_endpoints(service, replicas, gone),
                pace=settings.pace,
                policy=MISTAKES[service],
            )
            for service in ROUTES
        }
        return cls(settings, processes, store, replicas, proxies, collector)

    @property
    def url(self) -> str:
        """Where users send their requests: the gateway's proxy."""
        return f"http://127.0.0.1:{self.proxies['gateway'].port}"

    def start(self) -> None:
        """Start the collector and every replica; returns when all of them listen."""
        self.start_collector()
        self.start_replicas()

    def start_collector(self) -> None:
        """Start `meshslo collect`; returns when it listens."""
        meshslo = [sys.executable, "-c", "from meshslo.dashboards.cli import main; main()"]
        where = ["--http", f"127.0.0.1:{self.collector_port}", "--grpc", "127.0.0.1:0"]
        settle = ["--settle", f"{self.settings.settle_s:g}"]
        self.processes.start("collector", [*meshslo, "collect", "--store", str(self.store), *where, *settle])
        self.processes.wait_for(lambda: listens(self.collector_port), "the collector's start")

    def start_replicas(self) -> None:
        """Start every replica; returns when all of them listen."""
        exporter = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.collector_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }
        for replica in self.replicas:
            command = [sys.executable, "-m", "meshslo.demo.services", replica.to_json()]
            self.processes.start(replica.name, command, {**process_name(replica), **exporter})
        ports = [replica.port for replica in self.replicas]
        self.processes.wait_for(lambda: all(map(listens, ports)), "the services' start")

    def mesh(self, bootstraps: Mapping[str, Path]) -> None:
        """Run the four Envoys with these bootstraps, in place of those that run."""
        self.processes.stop(*(name for service in ROUTES if (name := f"{service}-proxy") in self.processes.children))
        for service, path in bootstraps.items():
            options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
            self.processes.start(f"{service}-proxy", [str(envoy_binary()), "-c", str(path), *options])
        ports = [proxy.port for proxy in self.proxies.values()]
        self.processes.wait_for(lambda: all(map(listens, ports)), "the proxies' start")

    def begin(self) -> None:
        """Set every replica's clock and counts to zero."""
        for replica in self.replicas:
            httpx.post(f"http://127.0.0.1:{replica.port}/demo/begin", timeout=10).raise_for_status()

    def counts(self) -> Counter[str]:
        """What the replicas counted since `begin`: `calls` they served, `tokens` they generated."""
        total: Counter[str] = Counter()
        for replica in self.replicas:
            total.update(httpx.get(f"http://127.0.0.1:{replica.port}/demo/counts", timeout=10).json())
        return total

    def traffic(self) -> dict[str, Traffic]:
        """What each proxy has received and sent since it started, as its own counters say; by hop."""
        return {hop: _traffic(self.proxies[hop.partition(">")[2]]) for hop in HOPS}


def _endpoints(service: str, replicas: tuple[Replica, ...], gone: int) -> tuple[Endpoint, ...]:
    alive = tuple(Endpoint(replica.port) for replica in replicas if replica.service == service)
    return (*alive, Endpoint(gone, STALE_WEIGHT)) if service == "retriever" else alive


def _traffic(proxy: Proxy) -> Traffic:
    """Requests received; requests sent upstream and those whose connection failed."""
    sent = (f"cluster.{proxy.service}.upstream_rq_total", f"cluster.{proxy.service}.upstream_rq_pending_failure_eject")
    received = f"http.{proxy.service}.downstream_rq_total"
    pattern = "^(" + "|".join(name.replace(".", r"\.") for name in (*sent, received)) + ")$"
    answer = httpx.get(f"http://127.0.0.1:{proxy.admin_port}/stats", params={"filter": pattern, "format": "json"}, timeout=10)
    answer.raise_for_status()
    stats = {stat["name"]: int(stat["value"]) for stat in answer.json()["stats"]}
    return Traffic(asked=stats[received], made=sum(stats[name] for name in sent))
