"""The log's records: what was written whole is read whole, whatever happened to the bytes around it."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from meshslo.telemetry.store.wal import HEADER_BYTES, MAGIC, Damage, Kind, Record, pack, read_segment, scan_records

# Payloads that look like headers are the hard case of looking for the next header.
PAYLOADS = st.lists(
    st.binary(max_size=60) | st.just(MAGIC * 9) | st.just(pack(Kind.SPANS, 3, b"inner")), min_size=1, max_size=6
)


def segment_of(payloads: list[bytes]) -> bytes:
    return b"".join(pack(Kind.OTLP_TRACES, n, payload) for n, payload in enumerate(payloads))


def payloads_in(data: bytes) -> list[bytes]:
    return [item.payload for item in scan_records(data) if isinstance(item, Record)]


def damage_in(data: bytes) -> list[Damage]:
    return [item for item in scan_records(data) if isinstance(item, Damage)]


@given(PAYLOADS)
def test_what_was_written_is_read(payloads: list[bytes]) -> None:
    records = [item for item in scan_records(segment_of(payloads)) if isinstance(item, Record)]
    assert [(record.arrival_ns, record.payload) for record in records] == list(enumerate(payloads))
    assert not damage_in(segment_of(payloads))


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=6), st.data())
def test_a_segment_cut_anywhere_keeps_every_whole_record_and_calls_the_rest_torn(
    payloads: list[bytes], data: st.DataObject
) -> None:
    whole = segment_of(payloads)
    cut = data.draw(st.integers(0, len(whole)))
    ends = [len(segment_of(payloads[: n + 1])) for n in range(len(payloads))]
    kept = sum(end <= cut for end in ends)
    assert payloads_in(whole[:cut]) == payloads[:kept]
    damage = damage_in(whole[:cut])
    assert all(part.torn for part in damage)
    assert sum(part.size_bytes for part in damage) == cut - ([0, *ends])[kept]


@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=6), st.data())
def test_a_flipped_byte_costs_its_own_record_only(payloads: list[bytes], data: st.DataObject) -> None:
    whole = bytearray(segment_of(payloads))
    place = data.draw(st.integers(0, len(whole) - 1))
    whole[place] ^= data.draw(st.integers(1, 255))
    ends = [len(segment_of(payloads[: n + 1])) for n in range(len(payloads))]
    hit = next(n for n, end in enumerate(ends) if place < end)
    assert payloads_in(bytes(whole)) == payloads[:hit] + payloads[hit + 1 :]
    assert len(damage_in(bytes(whole))) == 1


@given(st.binary(max_size=300))
def test_garbage_is_no_record_and_no_crash(garbage: bytes) -> None:
    assert payloads_in(garbage) == []
    assert sum(part.size_bytes for part in damage_in(garbage)) == len(garbage)


def test_space_that_was_allocated_and_never_written_is_a_torn_tail() -> None:
    found = list(scan_records(segment_of([b"a"]) + bytes(500)))
    assert [type(item) for item in found] == [Record, Damage]
    assert damage_in(segment_of([b"a"]) + bytes(500)) == [Damage(HEADER_BYTES + 1, 500, "no record header", torn=True)]


def test_a_hole_in_the_middle_is_damage_and_not_torn() -> None:
    data = segment_of([b"a"]) + b"?" * 50 + segment_of([b"b"])
    assert payloads_in(data) == [b"a", b"b"]
    assert [part.torn for part in damage_in(data)] == [False]


def test_a_segment_names_its_file(tmp_path: Path) -> None:
    path = tmp_path / "1.seg"
    path.write_bytes(segment_of([b"a", b"b"]))
    segment = read_segment(path)
    assert segment.path == path
    assert [record.payload for record in segment.records] == [b"a", b"b"]
