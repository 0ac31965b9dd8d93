"""The processes of a scenario: a collector, the replicas of one inference server, and the Envoy in front of them."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from meshslo.demo.mesh import Endpoint, Proxy
from meshslo.demo.processes import Processes, envoy_binary, free_ports, listens, validate_bootstrap
from meshslo.demo.services.replica import Replica, process_name

SERVICE: Final = "generator"
SETTLE_S: Final = 2.0
BOOTSTRAP: Final = f"{SERVICE}.yaml"


@dataclass(frozen=True)
class Stand:
    """A replica, its version where that matters, and what is wrong with it (`services.inference.Trouble`)."""

    name: str
    version: str = "v1"
    trouble: Mapping[str, float] = field(default_factory=dict)


@dataclass
class Street:
    """Everything that runs for a scenario."""

    processes: Processes
    folder: Path
    replicas: tuple[Replica, ...]
    weights: Mapping[str, int]
    collector_port: int
    proxy_port: int
    admin_port: int

    @classmethod
    def plan(cls, processes: Processes, folder: Path, stands: Sequence[Stand], weights: Mapping[str, int]) -> "Street":
        """Choose ports; nothing is started yet."""
        collector, proxy, admin, *ports = free_ports(3 + len(stands))
        replicas = tuple(
            Replica(SERVICE, stand.name, port, {}, program="inference", version=stand.version, trouble=dict(stand.trouble))
            for stand, port in zip(stands, ports, strict=True)
        )
        return cls(processes, folder, replicas, weights, collector, proxy, admin)

    @property
    def store(self) -> Path:
        """Where the collector keeps the calls."""
        return self.folder / "store"

    @property
    def url(self) -> str:
        """Where users send their requests."""
        return f"http://127.0.0.1:{self.proxy_port}"

    def bootstrap(self) -> dict[str, Any]:
        """The proxy without any protection; with a cluster for each version where those have weights."""
        endpoints = tuple(Endpoint(replica.port) for replica in self.replicas)
        body = Proxy(SERVICE, self.proxy_port, self.admin_port, self.collector_port, endpoints).bootstrap()
        if self.weights:
            _split(body, self.weights, {replica.version: self._ports(replica.version) for replica in self.replicas})
        return body

    def _ports(self, version: str) -> list[int]:
        return [replica.port for replica in self.replicas if replica.version == version]

    def start(self) -> None:
        """Start the collector and every replica; returns when all of them listen."""
        meshslo = [sys.executable, "-c", "from meshslo.dashboards.cli import main; main()"]
        where = ["--http", f"127.0.0.1:{self.collector_port}", "--grpc", "127.0.0.1:0", "--settle", f"{SETTLE_S:g}"]
        self.processes.start("collector", [*meshslo, "collect", "--store", str(self.store), *where])
        exporter = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.collector_port}",
            "OTEL_BSP_SCHEDULE_DELAY": "500",
        }
        for replica in self.replicas:
            command = [sys.executable, "-m", "meshslo.demo.services", replica.to_json()]
            self.processes.start(replica.name, command, {**process_name(replica), **exporter})
        ports = [self.collector_port, *(replica.port for replica in self.replicas)]
        self.processes.wait_for(lambda: all(map(listens, ports)), "the services' start")

    def run_proxy(self, text: str) -> None:
        """Run Envoy with this bootstrap, in place of the one that runs; every replica's clock begins anew."""
        path = self.folder / BOOTSTRAP
        path.write_text(text)
        validate_bootstrap(path)
        if "proxy" in self.processes.children:
            self.processes.stop("proxy")
        options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
        self.processes.start("proxy", [str(envoy_binary()), "-c", str(path), *options])
        self.processes.wait_for(lambda: listens(self.proxy_port), "the proxy's start")
        for replica in self.replicas:
            httpx.post(f"http://127.0.0.1:{replica.port}/demo/begin", timeout=10).raise_for_status()

    def served(self) -> int:
        """Calls that replicas have begun in this run."""
        answers = (httpx.get(f"http://127.0.0.1:{replica.port}/demo/counts", timeout=10) for replica in self.replicas)
        return sum(int(answer.json().get("calls", 0)) for answer in answers)


def _split(body: dict[str, Any], weights: Mapping[str, int], ports: Mapping[str, list[int]]) -> None:
    """A cluster for each version instead of one, and a route that chooses by weight."""
    clusters = body["static_resources"]["clusters"]
    whole = next(cluster for cluster in clusters if cluster["name"] == SERVICE)
    clusters.remove(whole)
    for version, chosen in ports.items():
        name = f"{SERVICE}-{version}"
        every = whole["load_assignment"]["endpoints"][0]["lb_endpoints"]
        mine = [each for each in every if each["endpoint"]["address"]["socket_address"]["port_value"] in chosen]
        clusters.insert(
            0, {**whole, "name": name, "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": mine}]}}
        )
    manager = body["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    action = manager["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    action.pop("cluster")
    shares = [{"name": f"{SERVICE}-{version}", "weight": weight} for version, weight in weights.items()]
    action["weighted_clusters"] = {"clusters": shares}


def as_text(body: Mapping[str, Any]) -> str:
    """A bootstrap as YAML."""
    return str(yaml.safe_dump(dict(body), sort_keys=False, width=120))
