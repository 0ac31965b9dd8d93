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

from .places import CALLER, move_to_callers, place

SERVICE: Final = "generator"
SETTLE_S: Final = 2.0
BOOTSTRAP: Final = f"{SERVICE}.yaml"
"""The bootstrap of the servers' own proxy."""


@dataclass(frozen=True)
class Stand:
    """A replica, its version, zone or provider where that matters, and what is wrong with it (`services.inference.Trouble`).

    weight: its share of the calls beside the others' while nothing orders them.
    """

    name: str
    version: str = "v1"
    zone: str = ""
    provider: str = ""
    weight: int = 20
    trouble: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Front:
    """A proxy and its ports: the servers' own, or that of their callers in one zone."""

    port: int
    admin_port: int
    zone: str = ""

    @property
    def file(self) -> str:
        """The name of its bootstrap."""
        return f"{CALLER}-{self.zone}.yaml" if self.zone else BOOTSTRAP


@dataclass
class Street:
    """Everything that runs for a scenario."""

    processes: Processes
    folder: Path
    stands: tuple[Stand, ...]
    replicas: tuple[Replica, ...]
    weights: Mapping[str, int]
    collector_port: int
    fronts: tuple[Front, ...]

    @classmethod
    def plan(
        cls, processes: Processes, folder: Path, stands: Sequence[Stand], weights: Mapping[str, int], zones: Sequence[str] = ()
    ) -> "Street":
        """Choose ports; nothing is started yet. With zones there is a proxy of the callers in each, else the servers' own."""
        places = zones or ("",)
        collector, *ports = free_ports(1 + len(stands) + 2 * len(places))
        pairs = zip(ports[len(stands) :: 2], ports[len(stands) + 1 :: 2], places, strict=True)
        replicas = tuple(_replica(stand, port) for stand, port in zip(stands, ports, strict=False))
        return cls(processes, folder, tuple(stands), replicas, weights, collector, tuple(Front(*each) for each in pairs))

    @property
    def proxy_port(self) -> int:
        """Where the first proxy listens."""
        return self.fronts[0].port

    @property
    def admin_port(self) -> int:
        """Where the first proxy answers for itself."""
        return self.fronts[0].admin_port

    @property
    def store(self) -> Path:
        """Where the collector keeps the calls."""
        return self.folder / "store"

    @property
    def urls(self) -> list[str]:
        """Where users send their requests, in turn."""
        return [f"http://127.0.0.1:{front.port}" for front in self.fronts]

    @property
    def vantage(self) -> str:
        """What the proxies see calls as."""
        return "proxy_out" if self.fronts[0].zone else "proxy_in"

    def bootstraps(self) -> dict[str, str]:
        """The proxies without any protection, by file; with a cluster for each version where those have weights."""
        return {front.file: as_text(self._bootstrap(front)) for front in self.fronts}

    def _bootstrap(self, front: Front) -> dict[str, Any]:
        pairs = list(zip(self.stands, self.replicas, strict=True))
        endpoints = tuple(Endpoint(replica.port, stand.weight) for stand, replica in pairs)
        body = Proxy(SERVICE, front.port, front.admin_port, self.collector_port, endpoints).bootstrap()
        if self.weights:
            _split(body, self.weights, {replica.version: self._ports(replica.version) for replica in self.replicas})
        elif any(stand.zone or stand.provider for stand in self.stands):
            place(body, [(stand.zone, stand.provider) for stand in self.stands])
        if front.zone:
            move_to_callers(body, front.zone, self.collector_port)
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
        """Run the one Envoy there is with this bootstrap; see `run_proxies`."""
        self.run_proxies({self.fronts[0].file: text})

    def run_proxies(self, texts: Mapping[str, str]) -> None:
        """Run each Envoy with its bootstrap, in place of the one that runs; every replica's clock begins anew."""
        for front in self.fronts:
            path = self.folder / front.file
            path.write_text(texts[front.file])
            validate_bootstrap(path)
            if front.file in self.processes.children:
                self.processes.stop(front.file)
            options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
            self.processes.start(front.file, [str(envoy_binary()), "-c", str(path), *options])
        self.processes.wait_for(lambda: all(listens(front.port) for front in self.fronts), "the proxies' start")
        for replica in self.replicas:
            httpx.post(f"http://127.0.0.1:{replica.port}/demo/begin", timeout=10).raise_for_status()

    def served(self) -> int:
        """Calls that replicas have begun in this run."""
        answers = (httpx.get(f"http://127.0.0.1:{replica.port}/demo/counts", timeout=10) for replica in self.replicas)
        return sum(int(answer.json().get("calls", 0)) for answer in answers)


def _replica(stand: Stand, port: int) -> Replica:
    own = {name: getattr(stand, name) for name in ("version", "zone", "provider")}
    return Replica(SERVICE, stand.name, port, {}, program="inference", trouble=dict(stand.trouble), **own)


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
