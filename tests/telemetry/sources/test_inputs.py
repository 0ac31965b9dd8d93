"""What the user names: files, globs, standard input, compressed or not."""

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.sources import sources
from meshslo.telemetry.sources.inputs import Input, expand, opened
from tests.telemetry.sources.reading import read, sniffed

TEXT = b"start,duration_s\n1793610000,1\n1793610001,2\n"


def test_names_globs_and_standard_input_are_expanded_once(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).touch()
    found = expand([str(tmp_path / "b.csv"), str(tmp_path / "*.csv"), "-"])
    assert [each.name for each in found] == [str(tmp_path / "b.csv"), str(tmp_path / "a.csv"), "standard input"]


def test_a_name_that_is_there_may_hold_signs_of_a_glob(tmp_path: Path) -> None:
    (tmp_path / "a[1].csv").touch()
    assert [each.path for each in expand([str(tmp_path / "a[1].csv")])] == [tmp_path / "a[1].csv"]


@pytest.mark.parametrize("name", ["nothing.csv", "*.nothing"])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match=r"no file .*nothing"):
        expand([str(tmp_path / name)])


def test_a_directory_says_how_to_name_its_files(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="is a directory; name its files"):
        expand([str(tmp_path)])


def compressed(kind: str, data: bytes) -> bytes:
    return {
        "plain": lambda: data,
        "gzip": lambda: gzip.compress(data),
        "gzip of two members": lambda: gzip.compress(data[:20]) + gzip.compress(data[20:]),
        "zstd": lambda: pa.Codec("zstd").compress(data, asbytes=True),
    }[kind]()


@pytest.mark.parametrize("kind", ["plain", "gzip", "gzip of two members", "zstd"])
@pytest.mark.parametrize("where", ["file", "standard input"])
def test_compression_is_recognised_by_the_first_bytes(tmp_path: Path, kind: str, where: str) -> None:
    data = compressed(kind, TEXT)
    path = tmp_path / "log.dat"
    path.write_bytes(data)
    calls, tally = read(path if where == "file" else data)
    assert (calls.height, tally.bad) == (2, 0)


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_compression_that_breaks_off_is_named(kind: str) -> None:
    data = compressed(
        kind, b"start,duration_s\n" + b"".join(b"%d,1\n" % (1793610000 + n * 7919 % 99991) for n in range(50_000))
    )
    with pytest.raises(BadInputError, match="data breaks off or is damaged"):
        read(data[: len(data) // 2])


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=20), st.integers(1, 50), st.booleans())
def test_blocks_are_whole_lines_and_nothing_is_lost(lines: list[bytes], size_bytes: int, ended: bool) -> None:
    data = b"\n".join(lines) + (b"\n" if ended else b"")
    with opened(Input("log"), io.BytesIO(b" " + data)) as stream:
        blocks = list(stream.blocks(size_bytes))
    assert b"".join(blocks) == b" " + data
    assert all(block.endswith(b"\n") for block in blocks[:-1])


def test_looking_at_the_head_takes_nothing(tmp_path: Path) -> None:
    with opened(Input("log"), io.BytesIO(TEXT)) as stream:
        assert stream.head(5) == b"start"
        assert stream.head() == TEXT
        assert stream.read(7) == b"start,d"
        assert stream.read() == TEXT[7:]
        assert stream.position_bytes == len(TEXT)


def test_lines_are_numbered_and_blank_ones_passed_over() -> None:
    with opened(Input("log"), io.BytesIO(b"a\n\n  \nb")) as stream:
        assert list(stream.lines()) == [(1, b"a"), (4, b"b")]


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.text('{}[]":,\r\n\x00a1', max_size=60).map(str.encode))
def test_any_bytes_are_of_some_kind_or_of_none(head: bytes) -> None:
    assert sniffed(head) in {None, *sources()}
