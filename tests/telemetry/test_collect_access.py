"""Who may send to a collector: TLS, client certificates, tokens, and the tenants that a token may speak for."""

import random
import ssl
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from meshslo.telemetry.collect.access import Sender, Tls, UnknownSenderError, read_tokens
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store import open_store
from tests.support.collector import Collector, running
from tests.support.otlp import make_batch, make_span
from tests.support.rounds import ROUNDS

PROTOBUF = {"Content-Type": "application/x-protobuf"}
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ACME = {"Authorization": "Bearer acme-secret"}
ANYONE = {"Authorization": "bearer  any-secret"}


def of_tenant(tenant: str, number: int, name: str = "tenant.id") -> Span:
    return make_span(number, attributes=[KeyValue(key=name, value=AnyValue(string_value=tenant))])


def tokens_file(folder: Path, content: str = "any-secret\nacme-secret acme,acme-test  # both of theirs\n\n") -> Path:
    path = folder / "tokens"
    path.write_text(content)
    return path


def test_a_token_names_the_tenants_it_may_speak_for(tmp_path: Path) -> None:
    tokens = read_tokens(tokens_file(tmp_path))
    assert tokens.sender("Bearer acme-secret") == Sender(frozenset({"acme", "acme-test"}))
    assert tokens.sender("bearer any-secret") == Sender(None)
    for authorization in (None, "", "Bearer", "Bearer wrong", "Basic any-secret", "any-secret"):
        with pytest.raises(UnknownSenderError):
            tokens.sender(authorization)
    assert read_tokens(None).sender(None) == Sender(None)


@pytest.mark.parametrize(
    ("content", "complaint"), [("# nobody\n", "no token in it"), ("\na b c\n", ":2: a line is TOKEN or TOKEN TENANT,TENANT")]
)
def test_a_bad_token_file_is_named(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(BadConfigError, match=complaint):
        read_tokens(tokens_file(tmp_path, content))
    with pytest.raises(BadConfigError, match="No such file"):
        read_tokens(tmp_path / "absent")


@pytest.mark.parametrize("name", ["tenant.id", "tenant", "x-tenant-id"])
def test_spans_of_other_tenants_are_taken_out_under_every_spelling(name: str) -> None:
    batch = make_batch([of_tenant("acme", 1, name), of_tenant("rival", 2, name), make_span(3)])
    checked = TRACES.check(batch, Sender(frozenset({"acme"})))
    assert (checked.accepted, dict(checked.rejected)) == (2, {"the sender's token may not speak for this tenant": 1})
    assert b"rival" not in checked.payload
    untouched = TRACES.check(batch, Sender())
    assert (untouched.accepted, untouched.payload) == (3, batch)


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
def test_a_bad_pem_file_is_named(tmp_path: Path, broken: str, certificates: dict[str, Path]) -> None:
    (tmp_path / "bad.pem").write_text("no PEM")
    with pytest.raises(BadConfigError, match=r"TLS files .*bad.pem.*; pass PEM files that belong together"):
        Tls(**{**certificates, broken: tmp_path / "bad.pem"}).check()
    with pytest.raises(BadConfigError, match=r"absent.pem: No such file"):
        Tls(certificates["certificate"], certificates["key"], tmp_path / "absent.pem").check()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def certificates(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pem")
    issued = authority.issue_cert("localhost", "127.0.0.1")
    paths = {"certificate": folder / "server.pem", "key": folder / "key.pem", "client_ca": folder / "ca.pem"}
    issued.cert_chain_pems[0].write_to_path(paths["certificate"])
    issued.private_key_pem.write_to_path(paths["key"])
    authority.cert_pem.write_to_path(paths["client_ca"])
    return paths


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificates: dict[str, Path]) -> Iterator[Collector]:
    """A collector that asks for everything: TLS, a client certificate, a token."""
    folder = tmp_path_factory.mktemp("guarded")
    tls = [
        "--tls-cert",
        certificates["certificate"],
        "--tls-key",
        certificates["key"],
        "--tls-client-ca",
        certificates["client_ca"],
    ]
    with running(folder, *map(str, tls), "--tokens", str(tokens_file(folder))) as collector:
        yield collector


def context_of(authority: trustme.CA, *, with_certificate: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    if with_certificate:
        authority.issue_cert("sender").configure_cert(context)
    return context


def channel_to(collector: Collector, authority: trustme.CA) -> grpc.Channel:
    sender = authority.issue_cert("sender")
    return grpc.secure_channel(
        collector.grpc,
        grpc.ssl_channel_credentials(
            authority.cert_pem.bytes(), sender.private_key_pem.bytes(), sender.cert_chain_pems[0].bytes()
        ),
    )


def readable(collector: Collector) -> set[int]:
    return {int.from_bytes(span, "big") for span in open_store(collector.store).scan().collect()["span_id"]}


@pytest.mark.system
def test_a_sender_with_certificate_and_token_speaks_for_its_own_tenants_only(guarded: Collector, authority: trustme.CA) -> None:
    batch = make_batch([of_tenant("acme", 101), of_tenant("rival", 102), make_span(103)])
    with httpx.Client(verify=context_of(authority, with_certificate=True)) as client:
        answer = client.post(f"https://{guarded.http}/v1/traces", content=batch, headers={**PROTOBUF, **ACME})
        text = client.get(f"https://{guarded.http}/metrics", headers=ANYONE).text
    over_http = ExportTraceServiceResponse.FromString(answer.content).partial_success
    with channel_to(guarded, authority) as channel:
        call: Any = channel.unary_unary(EXPORT)
        batch = make_batch([of_tenant("acme-test", 104), of_tenant("rival", 105)])
        over_grpc = ExportTraceServiceResponse.FromString(call(batch, metadata=[("authorization", "Bearer acme-secret")]))
    for partial in (over_http, over_grpc.partial_success):
        assert partial.rejected_spans == 1
        assert "may not speak for this tenant" in partial.error_message
    assert readable(guarded) >= {101, 103, 104}
    assert not readable(guarded) & {102, 105}
    assert 'spans_rejected_total{reason="the sender\'s token may not speak for this tenant"} 1.0' in text


@pytest.mark.system
def test_no_span_of_a_foreign_tenant_is_ever_stored_whatever_its_batch(guarded: Collector, authority: trustme.CA) -> None:
    chance, names, numbers = random.Random(11), ("tenant.id", "Tenant", "X-TENANT-ID"), count(1000)
    mine: set[int] = set()
    theirs: set[int] = set()
    with httpx.Client(verify=context_of(authority, with_certificate=True)) as client:
        for _ in range(20 * ROUNDS):
            spans = []
            for _ in range(chance.randrange(1, 40)):
                tenant, number = chance.choice(("acme", "acme-test", "rival", "Acme", "")), next(numbers)
                (mine if tenant in ("acme", "acme-test") else theirs).add(number)
                spans.append(of_tenant(tenant, number, chance.choice(names)))
            answer = client.post(f"https://{guarded.http}/v1/traces", content=make_batch(spans), headers={**PROTOBUF, **ACME})
            assert answer.status_code == 200
    there = readable(guarded)
    assert mine <= there
    assert not theirs & there


@pytest.mark.system
def test_without_a_token_nothing_is_taken_or_shown(guarded: Collector, authority: trustme.CA) -> None:
    with httpx.Client(verify=context_of(authority, with_certificate=True)) as client:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            answer = client.post(f"https://{guarded.http}/v1/traces", content=make_batch(), headers={**PROTOBUF, **headers})
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert client.get(f"https://{guarded.http}/metrics").status_code == 401
        assert client.get(f"https://{guarded.http}/healthz").status_code == 200
    with channel_to(guarded, authority) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(EXPORT)(make_batch(), timeout=30)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.system
def test_without_a_client_certificate_there_is_no_connection(guarded: Collector, authority: trustme.CA) -> None:
    with httpx.Client(verify=context_of(authority, with_certificate=False)) as client, pytest.raises(httpx.TransportError):
        client.get(f"https://{guarded.http}/healthz")
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{guarded.http}/healthz")
    credentials = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with grpc.secure_channel(guarded.grpc, credentials) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(EXPORT)(make_batch(), timeout=30, metadata=[("authorization", "Bearer any-secret")])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
