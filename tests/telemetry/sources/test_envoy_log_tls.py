"""How callers came, as a real Envoy logs it in the format that the documentation ships."""

import json
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509

from meshslo.demo.certificates import Authority
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port, wait_for
from tests.support.shared import ROOT
from tests.telemetry.sources.reading import read

GATEWAY, GENERATOR = (f"spiffe://cluster.local/ns/demo/sa/{name}" for name in ("gateway", "generator"))
ASKED = 5
"""Requests of each kind."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """The log of a service's proxy: callers with a certificate, callers over TLS without one, and plain ones."""
    folder = tmp_path_factory.mktemp("envoy")
    authority, envoy = Authority(folder), Envoy(free_port(), free_port())
    tls_port, path = free_port(), folder / "access.jsonl"
    body = inbound(envoy, tls_port, authority, path)
    with running(folder, envoy, yaml.safe_dump(body)):
        certificate = authority.issue(x509.UniformResourceIdentifier(GATEWAY))
        for url, context in (
            (f"https://127.0.0.1:{tls_port}/mutual", trusting(authority, certificate)),
            (f"https://127.0.0.1:{tls_port}/tls", trusting(authority)),
            (f"{envoy.url}/plain", trusting(authority)),
        ):
            with httpx.Client(verify=context, trust_env=False) as client:
                assert [client.get(url).status_code for _ in range(ASKED)] == [200] * ASKED
        wait_for(lambda: path.read_bytes().count(b"\n") == 3 * ASKED, what="Envoy's log")
        yield path.read_bytes()


def trusting(authority: Authority, shown: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.trusted)
    context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python does from 3.13 on
    context.check_hostname = False  # a SPIFFE certificate names no host
    if shown:
        context.load_cert_chain(*shown)
    return context


def inbound(envoy: Envoy, tls_port: int, authority: Authority, path: Path) -> dict[str, Any]:
    """A proxy that answers by itself on two listeners, plain and over TLS, where it asks for a certificate and demands none."""
    body = bootstrap(envoy, [free_port()])
    (plain,) = body["static_resources"]["listeners"]
    manager = plain["filter_chains"][0]["filters"][0]["typed_config"]
    manager["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    manager["access_log"] = [
        {
            "name": "file",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
                "path": str(path),
                "log_format": {"json_format": documented() | {"path": "%REQ(:PATH)%"}},
            },
        }
    ]
    socket = authority.asking_socket(x509.UniformResourceIdentifier(GENERATOR))
    socket["typed_config"]["require_client_certificate"] = False
    address = {"socket_address": {"address": "127.0.0.1", "port_value": tls_port}}
    chain = plain["filter_chains"][0] | {"transport_socket": socket}
    body["static_resources"]["listeners"].append({"name": "tls", "address": address, "filter_chains": [chain]})
    return body


def documented() -> dict[str, str]:
    page = (ROOT / "docs" / "access_logs.md").read_text()
    return json.loads(yaml.safe_load(page.split("```yaml")[1].split("```")[0])["accessLogFormat"])


@pytest.mark.system
def test_mutual_tls_alone_is_told_from_the_rest(log: bytes) -> None:
    calls, tally = read(log, "envoy-log")
    assert (tally.bad, calls.height) == (0, 3 * ASKED)
    paths = [json.loads(line)["path"] for line in log.splitlines()]
    told = {(path, mtls, name) for path, mtls, name in zip(paths, calls["mtls"], calls["caller_identity"], strict=True)}
    assert told == {("/mutual", True, GATEWAY), ("/tls", False, None), ("/plain", False, None)}


@pytest.mark.system
def test_a_log_without_the_field_leaves_it_open(log: bytes) -> None:
    older = b"\n".join(
        json.dumps({name: value for name, value in json.loads(line).items() if name != "downstream_tls_version"}).encode()
        for line in log.splitlines()
    )
    assert set(read(older, "envoy-log")[0]["mtls"]) == {True, None}
