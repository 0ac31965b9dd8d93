"""The clock of a stream: first content, longest silence, chunk count. One home for the maths, O(1) a chunk.

Server, client and `observe_stream` all feed it, so that a gap means the same at every vantage.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from .content import ContentWatch


@dataclass(frozen=True)
class StreamTimes:
    """What a stream looked like when it ended; seconds from the call's start, None where not seen."""

    duration_s: float
    first_byte_s: float | None
    first_token_s: float | None
    max_gap_s: float | None
    open_gap_s: float | None
    chunks: int


class StreamClock:
    """Times one stream from its creation on.

    Every chunk ends a silence, whatever it carries: an idle timer sees bytes, not tokens. Only the first chunk with content
    is the first token. `now_s` is any monotonic clock in seconds; `elapsed_s` is how long ago the call began.
    """

    __slots__ = ("_content", "_first_byte_s", "_first_token_s", "_last_s", "_max_gap_s", "_now_s", "chunks", "started_s")

    def __init__(
        self,
        now_s: Callable[[], float] = time.perf_counter,
        content: Callable[[object], bool] | None = None,
        elapsed_s: float = 0.0,
    ) -> None:
        self._now_s = now_s
        self._content = content or ContentWatch()
        self.started_s = now_s() - elapsed_s
        self.chunks = 0
        self._first_byte_s: float | None = None
        self._first_token_s: float | None = None
        self._last_s: float | None = None
        self._max_gap_s = 0.0

    def headers(self) -> None:
        """Note that the response's headers came (or went) now."""
        if self._first_byte_s is None:
            self._first_byte_s = self._now_s()

    def chunk(self, chunk: object) -> None:
        """Note that `chunk` came (or went) now."""
        now_s = self._now_s()
        if self._last_s is not None:
            gap_s = now_s - self._last_s
            if gap_s > self._max_gap_s:  # noqa: PLR1730, RUF100 - max() would cost a call a chunk
                self._max_gap_s = gap_s
        self._last_s = now_s
        self.chunks += 1
        if self._first_token_s is None and self._content(chunk):
            self._first_token_s = now_s

    def now_s(self) -> float:
        """The clock's reading now."""
        return self._now_s()

    @property
    def last_seen_s(self) -> float:
        """When the last chunk came, else the headers, else the start: the end of a stream that nobody closed."""
        return next(moment_s for moment_s in (self._last_s, self._first_byte_s, self.started_s) if moment_s is not None)

    def read(self, *, ended_s: float, cut: bool) -> StreamTimes:
        """The stream's times if it ended at `ended_s` on this clock; `cut` when it ended before it was complete.

        The silence that a cut ended is known to be at least that long: it is the open gap, and counts for the longest one.
        The wait before the first chunk is no gap (first_byte_s and first_token_s hold it); one chunk and done has none.
        """
        open_gap_s = ended_s - self._last_s if cut and self._last_s is not None else None
        gaps = self.chunks > 1 or open_gap_s is not None
        return StreamTimes(
            duration_s=ended_s - self.started_s,
            first_byte_s=self._since_start(self._first_byte_s),
            first_token_s=self._since_start(self._first_token_s),
            max_gap_s=max(self._max_gap_s, open_gap_s or 0.0) if gaps else None,
            open_gap_s=open_gap_s,
            chunks=self.chunks,
        )

    def _since_start(self, moment_s: float | None) -> float | None:
        return None if moment_s is None else moment_s - self.started_s
