"""Overload: who is told to come back is told when, in the way exporters understand, on both ports."""

from collections.abc import AsyncIterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import grpc.aio
import httpx
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from prometheus_client import CollectorRegistry

from meshslo.telemetry.collect.body import Budget, BufferFullError, read_body
from meshslo.telemetry.collect.exposition import Exposition
from meshslo.telemetry.collect.intake import Intake
from meshslo.telemetry.collect.otlp_grpc import grpc_server
from meshslo.telemetry.collect.otlp_http import http_app
from meshslo.telemetry.collect.settings import Address, CollectSettings, parse_address
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store.journal import Journal, StoreBusyError
from tests.support.otlp import make_batch


def busy_intake() -> Intake:
    """An intake whose journal has no room."""

    def append(*_: object) -> "Future[None]":
        raise StoreBusyError("67108864 bytes wait for the disk already; send again later")

    return Intake(cast("Journal", SimpleNamespace(append=append)))


async def test_http_says_429_and_retry_after(tmp_path: Path) -> None:
    intake = busy_intake()
    transport = httpx.ASGITransport(http_app(intake, CollectSettings(tmp_path), Exposition(CollectorRegistry())))
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
        headers = {"Content-Type": "application/x-protobuf"}
        answer = await client.post("/v1/traces", content=make_batch(), headers=headers)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "send again later" in Status.FromString(answer.content).message
    assert intake.stats.refused == {"overload": 1}
    assert not intake.stats.accepted


async def test_http_bodies_beyond_the_memory_for_them_are_told_to_come_back(tmp_path: Path) -> None:
    transport = httpx.ASGITransport(
        http_app(busy_intake(), CollectSettings(tmp_path, max_buffered_bytes=10), Exposition(CollectorRegistry()))
    )
    async with httpx.AsyncClient(transport=transport, base_url="http://collector") as client:
        answer = await client.post("/v1/traces", content=bytes(11), headers={"Content-Type": "application/x-protobuf"})
    assert answer.status_code == 429


async def test_grpc_says_resource_exhausted_with_retry_info(tmp_path: Path) -> None:
    server, port = grpc_server(busy_intake(), CollectSettings(tmp_path, grpc=Address("127.0.0.1", 0)))
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary(TRACES.grpc_path)(make_batch())
    finally:
        await server.stop(None)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailers: dict[str, Any] = dict(caught.value.trailing_metadata())
    status, hint = Status.FromString(trailers["grpc-status-details-bin"]), RetryInfo()
    assert status.details[0].Unpack(hint)
    assert hint.retry_delay.seconds == 2


async def chunks(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield bytes(size)


async def test_memory_for_bodies_is_given_back_however_the_reading_ends() -> None:
    budget = Budget(10)
    assert await read_body(chunks(4, 4), 10, budget) == bytes(8)
    with pytest.raises(BufferFullError):
        await read_body(chunks(4, 7), 100, budget)
    assert budget.held_bytes == 0


@pytest.mark.parametrize("text", ["4317", "localhost", ":1", "h:x", "h:70000", "h:-1", ""])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(BadConfigError, match="is no address; pass HOST:PORT"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "loopback"), [("127.0.0.1:1", True), ("localhost:1", True), ("[::1]:1", True), ("10.0.0.1:1", False)]
)
def test_loopback_is_told_from_the_rest(text: str, loopback: bool) -> None:
    assert parse_address(text).is_loopback is loopback


@pytest.mark.parametrize("address", ["0.0.0.0:4317", "[::]:0", "mesh.example:4317"])
def test_other_addresses_need_the_users_word(tmp_path: Path, address: str) -> None:
    with pytest.raises(BadConfigError, match="can be reached from other machines"):
        CollectSettings(tmp_path, grpc=parse_address(address)).check()
    CollectSettings(tmp_path, grpc=parse_address(address), insecure=True).check()
