"""Forwarding: the other side gets everything once it is there, and its absence is nobody's problem but its own."""

from pathlib import Path

import pytest

from meshslo.telemetry.collect.access import Sender
from meshslo.telemetry.collect.forward import Forwarder
from meshslo.telemetry.collect.intake import Intake
from meshslo.telemetry.collect.logs import LOGS
from meshslo.telemetry.collect.settings import Address, CollectSettings, Target, parse_target
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store import open_store
from meshslo.telemetry.store.journal import Journal
from tests.support.collector import Collector, running
from tests.support.net import free_port, wait_for
from tests.support.otlp import make_batch, make_span

PROTOBUF = {"Content-Type": "application/x-protobuf"}


def send(collector: Collector, *numbers: int) -> None:
    body = make_batch([make_span(number) for number in numbers])
    assert collector.client.post("/v1/traces", content=body, headers=PROTOBUF).status_code == 200


def readable(collector: Collector) -> list[int]:
    return sorted(int.from_bytes(span, "big") for span in open_store(collector.store).scan().collect()["span_id"])


@pytest.mark.system
def test_everything_goes_on_though_the_other_side_comes_late_and_what_does_not_is_told(tmp_path: Path) -> None:
    (tmp_path / "front").mkdir()
    (tmp_path / "behind").mkdir()
    port = free_port()
    with running(tmp_path / "front", "--forward", f"127.0.0.1:{port}") as front:
        send(front, 1, 2)
        send(front, 3)
        assert readable(front) == [1, 2, 3], "it is stored while the other side is down"
        with running(tmp_path / "behind", "--grpc", f"127.0.0.1:{port}") as behind:
            wait_for(lambda: readable(behind) == [1, 2, 3], what="the late other side getting all", timeout_s=300)
            send(front, 4)
            wait_for(lambda: readable(behind) == [1, 2, 3, 4], what="forwarding", timeout_s=300)
            text = front.client.get("/metrics").text
        send(front, 5)
        assert front.stop() == 0
    assert 'forwarded_batches_total{result="forwarded"} 3.0' in text
    assert "forward_queue_bytes 0.0" in text
    assert [event["event"] for event in front.events] == ["ready", "stopping", "not_forwarded", "stopped"]
    assert readable(front) == [1, 2, 3, 4, 5], "what did not get there is here"


async def test_beyond_its_queue_batches_are_dropped_and_counted() -> None:
    forwarder = Forwarder(Target(Address("127.0.0.1", free_port())), max_bytes=10)
    for _ in range(3):
        forwarder.offer(TRACES, bytes(4))
    assert (forwarder.waiting_bytes, forwarder.batches["dropped"]) == (8, 1)


async def test_what_says_nothing_of_calls_goes_on_and_what_may_not_be_sent_stays(tmp_path: Path) -> None:
    forwarder = Forwarder(Target(Address("127.0.0.1", free_port())), max_bytes=2**20)
    journal = Journal(open_store(tmp_path, create=True).layout)
    intake = Intake(journal, forwarder)
    plain = LOGS.parse(b"")
    plain.resource_logs.add().scope_logs.add().log_records.add(time_unix_nano=1).body.string_value = "ready"
    foreign = make_batch([make_span(attributes=[{"key": "tenant.id", "value": {"string_value": "evil"}}])])
    try:
        await intake.take(LOGS, plain.SerializeToString(), Sender())
        await intake.take(TRACES, foreign, Sender(frozenset({"acme"})))
    finally:
        journal.close()
    assert (intake.stats.accepted.total(), forwarder.waiting_bytes) == (0, plain.ByteSize())


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:4317", Target(Address("127.0.0.1", 4317))),
        ("http://tempo:4317/", Target(Address("tempo", 4317))),
        ("https://tempo:4317", Target(Address("tempo", 4317), tls=True)),
    ],
)
def test_a_target_is_read(text: str, target: Target) -> None:
    assert parse_target(text) == target


def test_unencrypted_forwarding_over_a_network_needs_the_users_word(tmp_path: Path) -> None:
    with pytest.raises(BadConfigError, match="--forward http://tempo:4317 would go over the network without encryption"):
        CollectSettings(tmp_path, forward=parse_target("tempo:4317")).check()
    CollectSettings(tmp_path, forward=parse_target("https://tempo:4317")).check()
    CollectSettings(tmp_path, forward=parse_target("tempo:4317"), insecure=True).check()
