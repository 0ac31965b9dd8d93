"""Whatever bytes come in: refused or taken, and what was taken can always be turned into calls.

MESHSLO_FUZZ sets how many inputs (the long form is 1,000,000); MESHSLO_FUZZ_SEED repeats a run.
"""

import contextlib
import json
import os
import random
import time
from collections.abc import Iterator

import polars as pl
import pytest
from google.protobuf.json_format import MessageToDict

from meshslo.telemetry.collect.accepted import SIGNALS
from meshslo.telemetry.collect.access import Sender
from meshslo.telemetry.collect.body import decompress
from meshslo.telemetry.collect.logs import LOGS
from meshslo.telemetry.collect.metrics import METRICS
from meshslo.telemetry.collect.signals import Checked, Signal
from meshslo.telemetry.collect.traces import TRACES
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.normalize import to_calls, traces_json_to_protobuf
from meshslo.telemetry.normalize.decode import decode_many
from meshslo.telemetry.otlp_metrics import STATE, count_points, parse_metrics
from meshslo.telemetry.sources.otlp_logs import calls_of_logs
from tests.support.otlp import make_batch, make_span
from tests.support.otlp_logs import logs_of, make_log
from tests.support.otlp_metrics import CUMULATIVE, DELTA, Service
from tests.support.shared import ROOT

INPUTS = int(os.environ.get("MESHSLO_FUZZ", "10000"))
SEED = int(os.environ.get("MESHSLO_FUZZ_SEED", "5"))
AT_ONCE = 500
TENANT_BOUND = Sender(frozenset({"acme"}))


def recorded() -> list[str]:
    """OTLP/JSON of real Envoys, a line each."""
    folder = ROOT / "tests" / "telemetry" / "fixtures" / "envoy"
    return [line for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def seeds() -> list[bytes]:
    """Valid messages to start from."""
    return [make_batch([make_span() for _ in range(3)]), b"", *(traces_json_to_protobuf(line) for line in recorded())]


def mutated(chance: random.Random, originals: list[bytes], count: int) -> Iterator[bytes]:
    """`count` inputs: flipped, cut, repeated, spliced."""
    for _ in range(count):
        data = bytearray(chance.choice(originals))
        for _ in range(chance.choice((1, 1, 2, 5))):
            place = chance.randrange(len(data) + 1)
            other = chance.choice(originals)
            change = chance.randrange(6)
            if change == 0:
                del data[place : place + chance.randrange(20)]
            elif change == 1:
                data[place:place] = chance.randbytes(chance.randrange(8))
            elif change == 2:
                data[place:place] = other[: chance.randrange(len(other) + 1)]
            elif change == 3 and data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            elif change == 4 and data:
                data[place % len(data)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            else:
                data[place:] = data[place : place + chance.randrange(40)] * chance.randrange(3)
        yield bytes(data)


def test_any_bytes_are_refused_or_become_calls() -> None:
    chance, originals = random.Random(SEED), seeds()
    refused = taken = spans = 0
    for _ in range(0, INPUTS, AT_ONCE):
        accepted = []
        for payload in mutated(chance, originals, AT_ONCE):
            try:
                checked = TRACES.check(payload, chance.choice((Sender(), TENANT_BOUND)))
            except BadInputError:
                refused += 1
                continue
            accepted.append(checked)
        decoded = decode_many([checked.payload for checked in accepted])
        assert decoded.spans.height == sum(checked.accepted for checked in accepted)
        to_calls(decoded.spans)
        taken += len(accepted)
        spans += decoded.spans.height
    assert min(refused, taken, spans) > INPUTS / 50, "the mutations have become too weak or too strong to tell anything"


def test_any_bytes_are_refused_or_become_counts() -> None:
    chance, state = random.Random(SEED), pl.DataFrame(schema=STATE)
    services = [Service(temporality) for temporality in (DELTA, CUMULATIVE)]
    originals = [b""]
    for service in services * 3:
        service.record([chance.lognormvariate(0, 2) for _ in range(20)], **{"tenant.id": "acme"})
        originals.append(service.export())
    refused = taken = points = 0
    for accepted, turned_away in groups(METRICS, chance, originals):
        counted = count_points([checked.payload for checked in accepted], state, time.time_ns())
        assert counted.points <= sum(checked.accepted for checked in accepted), "a point without a value says nothing"
        assert counted.series.is_empty() or counted.series["value"].list.min().min() >= 0  # type: ignore[operator]
        # So that the state stays that of a few services, however many names are made up.
        state = counted.state.tail(50)
        refused, taken, points = refused + turned_away, taken + len(accepted), points + counted.points
    assert min(refused, taken, points) > INPUTS / 500, "the mutations have become too weak or too strong to tell anything"


def test_any_bytes_are_refused_or_become_calls_of_logs() -> None:
    originals = [logs_of([make_log(7, 8), make_log()]).SerializeToString(), b""]
    refused = rows = 0
    for accepted, turned_away in groups(LOGS, random.Random(SEED), originals):
        # Messages end to end are one message of the same records.
        calls = calls_of_logs(b"".join(checked.payload for checked in accepted))
        assert calls.height <= sum(checked.accepted for checked in accepted), "a log may hold a number that is none"
        refused, rows = refused + turned_away, rows + calls.height
    assert min(refused, rows) > INPUTS / 500, "the mutations have become too weak or too strong to tell anything"


def groups(signal: Signal, chance: random.Random, originals: list[bytes]) -> Iterator[tuple[list[Checked], int]]:
    """What is taken of a hundred mutated inputs, and how many of them are refused, for a tenth of all inputs."""
    for _ in range(0, INPUTS // 10, 100):
        accepted = []
        for payload in mutated(chance, originals, 100):
            with contextlib.suppress(BadInputError):
                checked = signal.check(payload, chance.choice((Sender(), TENANT_BOUND)))
                items = sum(len(group.items) for group in signal.groups(signal.parse(payload)))
                assert items == checked.accepted + checked.passed_over + checked.rejected.total(), "each item is counted once"
                accepted.append(checked)
        yield accepted, 100 - len(accepted)


def json_seeds(signal: Signal) -> list[str]:
    """Valid documents to start from."""
    if signal is TRACES:
        return recorded()
    if signal is LOGS:
        return [json.dumps(MessageToDict(logs_of([make_log(), make_log()])))]
    service = Service()
    service.record([1.0, 2.0])
    return [json.dumps(MessageToDict(parse_metrics(service.export())))]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.noun)
def test_any_text_is_refused_as_json_or_becomes_a_message(signal: Signal) -> None:
    chance = random.Random(SEED)
    originals = [text.encode() for text in json_seeds(signal)]
    outcomes = {"refused": 0, "taken": 0}
    for text in mutated(chance, originals, INPUTS // 20):
        try:
            signal.check(signal.from_json(text), Sender())
            outcomes["taken"] += 1
        except BadInputError:
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 0


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.noun)
def test_half_a_surrogate_pair_is_refused_wherever_it_stands(signal: Signal) -> None:
    text = json_seeds(signal)[0]
    for place in (at for at, letter in enumerate(text) if letter == '"'):
        with pytest.raises(BadInputError, match=r"not OTLP/JSON|no JSON"):
            signal.from_json(f"{text[:place]}\\ud800{text[place:]}")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd"])
def test_any_bytes_open_within_the_limit_or_are_refused(encoding: str) -> None:
    import gzip
    import zlib

    import pyarrow as pa

    chance = random.Random(SEED)
    plain = chance.randbytes(300) + bytes(3000)
    squeezed = {
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "zstd": pa.compress(plain, codec="zstd", asbytes=True),
    }
    for body in mutated(chance, [squeezed[encoding]], INPUTS // 10):
        try:
            assert len(decompress(body, encoding, 2000)) <= 2000
        except BadInputError:
            continue
