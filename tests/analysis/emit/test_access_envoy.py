"""The emitted filter on a real Envoy with mutual TLS: every caller, route and method is let in or refused as recommended."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from itertools import product

import httpx
import pytest
import yaml
from cryptography import x509

from meshslo.analysis.config import Emit
from meshslo.analysis.emit import emit
from meshslo.analysis.recommend import observe, recommend
from meshslo.demo.certificates import Authority
from tests.support.calls import make_call, make_calls
from tests.support.envoy import Envoy, bootstrap, running
from tests.support.net import free_port
from tests.support.serving import serving

pytestmark = pytest.mark.system

GATEWAY, BATCH, LAPTOP = (f"spiffe://cluster.local/ns/{name}" for name in ("chat/sa/gateway", "jobs/sa/batch", "dev/sa/laptop"))
CALLERS = {GATEWAY: ("gateway", "/v1/chat", "POST"), BATCH: ("batch", "/v1/jobs/{id}", "GET")}
PATHS = {"/v1/chat": "/v1/chat", "/v1/jobs/{id}": "/v1/jobs/7", None: "/admin"}


@dataclass(frozen=True)
class Mesh:
    """A proxy that asks for certificates, and who issues them."""

    envoy: Envoy
    authority: Authority

    def status(self, caller: str | None, path: str, method: str) -> int:
        """The status that a caller gets."""
        context = ssl.create_default_context(cafile=str(self.authority.trusted))
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # as Python does from 3.13 on
        if caller is not None:
            context.load_cert_chain(*self.authority.issue(x509.UniformResourceIdentifier(caller)))
        with httpx.Client(verify=context, trust_env=False) as client:
            return client.request(method, f"https://localhost:{self.envoy.port}{path}").status_code


class _Answers(BaseHTTPRequestHandler):
    """200 to everything."""

    def _answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = _answer  # noqa: N815 - the base class's names


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder = tmp_path_factory.mktemp("access")
    authority = Authority(folder)
    envoy = Envoy(free_port(), free_port())
    with serving(_Answers) as server, running(folder, envoy, yaml.safe_dump(_bootstrap(envoy, server.server_port, authority))):
        yield Mesh(envoy, authority)


def _bootstrap(envoy: Envoy, port: int, authority: Authority) -> dict[str, object]:
    """The proxy of the tests with the emitted filter before its router, and certificates asked for."""
    rows = [
        make_call(
            at_s=float(n), caller=name, route=route, method=method, caller_identity=identity, vantage="proxy_in", mtls=True
        )
        for identity, (name, route, method) in CALLERS.items()
        for n in range(400)
    ]
    advice = recommend(observe(make_calls(rows).lazy()), ["identity"])
    documents = emit("envoy", advice, settings=Emit(dry_run=False)).documents
    (rbac,) = [yaml.safe_load(document.text) for document in documents if document.path == "generator-rbac.yaml"]
    made = bootstrap(envoy, [port])
    (chain,) = made["static_resources"]["listeners"][0]["filter_chains"]
    chain["filters"][0]["typed_config"]["http_filters"].insert(0, rbac)
    chain["transport_socket"] = authority.asking_socket(x509.DNSName("localhost"))
    return made


@pytest.mark.parametrize(("caller", "route", "method"), list(product([GATEWAY, BATCH, LAPTOP], PATHS, ["GET", "POST"])))
def test_each_caller_reaches_what_it_was_seen_to_call_and_nothing_else(
    mesh: Mesh, caller: str, route: str | None, method: str
) -> None:
    allowed = CALLERS.get(caller, (None, None, None))[1:] == (route, method)
    assert mesh.status(caller, PATHS[route], method) == (200 if allowed else 403)


def test_who_shows_no_certificate_does_not_get_as_far(mesh: Mesh) -> None:
    with pytest.raises((httpx.ReadError, httpx.ConnectError, httpx.RemoteProtocolError, ssl.SSLError)):
        mesh.status(None, "/v1/chat", "POST")
