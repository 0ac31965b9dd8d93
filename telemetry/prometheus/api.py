"""Prometheus's query API, as Prometheus, Thanos, Mimir and VictoriaMetrics serve it: two questions and every refusal.

`prometheus-api-client` was tried first: it throws `warnings` and `infos` away, and has one error for every refusal.
Source: prometheus/prometheus, docs/querying/api.md.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from meshslo.telemetry.errors import SourceError
from meshslo.telemetry.pull.http import Answer, Params, Server

MAX_POINTS: Final = 11_000
"""Points of a series that one range query may return; more is refused."""

_REFUSED: Final = (400, 422)
_TOO_MUCH: Final = re.compile(
    r"too many samples|maximum resolution|timed out|max(imum)? ?(samples|series)|exceed", re.IGNORECASE
)


class TooMuchError(SourceError):
    """The server will not answer so large a question; a shorter window may do."""


Points = NDArray[np.float64]


class Native(msgspec.Struct):
    """A native histogram's counts; each bucket is (which edges belong to it, left, right, count)."""

    count: str
    sum: str
    buckets: list[tuple[int, str, str, str]] = []


class Series(msgspec.Struct):
    """A series of a range query, or of a range selector: its labels, and its points of either kind."""

    metric: dict[str, str]
    values: msgspec.Raw = msgspec.Raw(b"[]")
    histograms: list[tuple[float, Native]] = []

    @property
    def points(self) -> Points:
        """Times (seconds since the epoch) and values, a row a point; SourceError where they are anything but numbers."""
        return points_of([self])[0]


def points_of(series: Sequence[Series]) -> list[Points]:
    """The points of each series, as `Series.points`.

    Millions of numbers: read together, as one long line of text, at a seventh of the cost of one object a number.
    """
    if not series:
        return []
    texts = [bytes(one.values) for one in series]
    # Each point is a list in a list.
    counts = [text.count(b"[") - 1 for text in texts]
    numbers = _numbers(texts, sum(counts))
    if numbers is None:
        odd = next((text for text, count in zip(texts, counts, strict=True) if _numbers([text], count) is None), b"")
        raise SourceError(f"a series came with values that are no pairs of time and number: {odd[:60]!r}")
    return np.split(numbers.reshape(-1, 2), np.cumsum(counts)[:-1])


def _numbers(texts: list[bytes], points: int) -> Points | None:
    """All numbers one after the other, two a point; None where anything is none."""
    line = b",".join(text for text in texts if text != b"[]").translate(None, b'[]" \t\r\n')
    if not line:
        return None if points else np.empty(0)
    try:
        found = pl.read_csv(line, has_header=False, separator=";", eol_char=",", schema={"number": pl.Float64})["number"]
    except pl.exceptions.PolarsError:
        return None
    return found.to_numpy() if len(found) == 2 * points and not found.null_count() else None


class Sample(msgspec.Struct):
    """An element of an instant query."""

    metric: dict[str, str]
    value: tuple[float, str] | None = None
    histogram: tuple[float, Native] | None = None


class _Matrix(msgspec.Struct, tag_field="resultType", tag="matrix"):
    result: list[Series]


class _Vector(msgspec.Struct, tag_field="resultType", tag="vector"):
    result: list[Sample]


class _Reply(msgspec.Struct):
    status: str
    data: _Matrix | _Vector | None = None
    error: str = ""
    warnings: list[str] = []
    infos: list[str] = []


class _Names(msgspec.Struct):
    status: str
    data: list[str] = []
    error: str = ""
    warnings: list[str] = []
    infos: list[str] = []


_Document = TypeVar("_Document", _Reply, _Names)
_REPLY: Final = msgspec.json.Decoder(_Reply)
_NAMES: Final = msgspec.json.Decoder(_Names)


@dataclass(frozen=True)
class Steps:
    """Times since_s, since_s + step_s, ... (`count` steps, so one more point than that), seconds since the epoch."""

    since_s: int
    step_s: int
    count: int

    @property
    def until_s(self) -> int:
        """The last of them."""
        return self.since_s + self.step_s * self.count


@dataclass(frozen=True)
class Prometheus:
    """A server; what it warns of is gathered in `notes`."""

    server: Server
    notes: dict[str, None] = field(default_factory=dict)

    def range(self, query: str, steps: Steps) -> list[Series]:
        """Each series of `query` at every one of `steps`, both ends included. TooMuchError when the server says so."""
        params: Params = {"query": query, "start": steps.since_s, "end": steps.until_s, "step": steps.step_s}
        data = self._ask("/api/v1/query_range", params, _REPLY).data
        if not isinstance(data, _Matrix):
            raise self._wrong("/api/v1/query_range", "no matrix")
        return data.result

    def raw(self, selector: str, at_s: int, length_s: int) -> list[Series]:
        """Every sample as it was scraped in the `length_s` seconds until `at_s`, not resampled to steps."""
        data = self._ask("/api/v1/query", {"query": f"{selector}[{length_s}s]", "time": at_s}, _REPLY).data
        if not isinstance(data, _Matrix):
            raise self._wrong("/api/v1/query", "no matrix")
        return data.result

    def at(self, query: str, at_s: int) -> list[Sample]:
        """Each element of `query` at one time."""
        data = self._ask("/api/v1/query", {"query": query, "time": at_s}, _REPLY).data
        if not isinstance(data, _Vector):
            raise self._wrong("/api/v1/query", "no vector")
        return data.result

    def names(self, among: Sequence[str], since_s: int, until_s: int) -> set[str]:
        """Which metric names of `among` have samples in the window."""
        params: Params = {"match[]": f"{{{matches('__name__', among)}}}", "start": since_s, "end": until_s}
        found = self._ask("/api/v1/label/__name__/values", params, _NAMES).data
        # Some servers ignore the matcher.
        return set(found) & set(among)

    def _ask(self, path: str, params: Params, decoder: msgspec.json.Decoder[_Document]) -> _Document:
        answer = self.server.get(path, params, expect=(200, *_REFUSED))
        reply: _Document = _decoded(answer, decoder)
        if reply.status != "success":
            kind = TooMuchError if _TOO_MUCH.search(reply.error) else SourceError
            raise kind(f"{answer.url} refused the question: {reply.error or reply.status}")
        self.notes.update(dict.fromkeys(f"{self.server.url} warns: {text}" for text in (*reply.warnings, *reply.infos)))
        return reply

    def _wrong(self, path: str, what: str) -> SourceError:
        return SourceError(f"{self.server.url}{path} answered with {what}; is this Prometheus's query API?")


def _decoded(answer: Answer, decoder: msgspec.json.Decoder[_Document]) -> _Document:
    if answer.is_page:
        answer.json()
    try:
        return decoder.decode(answer.body)
    except msgspec.ValidationError as error:
        raise SourceError(f"{answer.url} answered with JSON of another shape ({error}); is this Prometheus's API?") from error
    except msgspec.DecodeError as error:
        size = len(answer.body)
        raise SourceError(f"{answer.url} answered with {size} bytes that are no complete JSON ({error})") from error


def selector(name: str, *matchers: str) -> str:
    """A PromQL selector of the series called `name`; a name that PromQL cannot write bare is quoted.

    >>> selector("vllm:x_bucket", 'job="a"'), selector("gen_ai.x")
    ('vllm:x_bucket{job="a"}', '{"gen_ai.x"}')
    """
    chosen = [matcher for matcher in matchers if matcher]
    if re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*", name):
        return f"{name}{{{','.join(chosen)}}}" if chosen else name
    return f"{{{','.join([_quoted(name), *chosen])}}}"


def matches(label: str, values: Sequence[str]) -> str:
    r"""The matcher of any of these values of a label.

    >>> print(matches("job", ["a.b", "c"]))
    job=~"a\\.b|c"
    """
    return f"{label}=~{_quoted('|'.join(re.escape(value) for value in values))}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
