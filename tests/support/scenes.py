"""Calls of small chains whose truth is known: what recommenders and emitters are tested on."""

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from meshslo.analysis.config import Config, parse_config

from .calls import make_call, make_calls

PER_CHUNK_S = {"small": 0.01, "large": 0.03}
"""Seconds a chunk of each model."""

MAX_TOKENS = 256

CONFIG: Config = parse_config(
    f"""
    [objectives]
    false_timeout_ratio = 0.01
    [models.small]
    max_tokens = {MAX_TOKENS}
    [models.large]
    max_tokens = {MAX_TOKENS}
    """
)


@dataclass(frozen=True)
class Request:
    """One request of ingress > gateway > (retriever, generator): true durations, and where its user's timer cuts it."""

    trace_id: bytes
    at_s: float
    model: str
    retrieval_s: float
    first_token_s: float
    chunks: int
    per_chunk_s: float
    cap_s: float | None

    @property
    def stream_s(self) -> float:
        """What the generator would take."""
        return self.first_token_s + self.chunks * self.per_chunk_s

    @property
    def whole_s(self) -> float:
        """What the user would wait."""
        return self.retrieval_s + self.stream_s + 0.01

    @property
    def is_cut(self) -> bool:
        """Whether the timer fires."""
        return self.cap_s is not None and self.whole_s > self.cap_s

    def rows(self) -> list[dict[str, Any]]:
        """Its calls as vantages see them."""
        common = {"trace_id": self.trace_id, "model": self.model, "at_s": self.at_s}
        search = make_call(
            caller="gateway",
            callee="retriever",
            vantage="client",
            route="/search",
            duration_s=self.retrieval_s,
            first_byte_s=self.retrieval_s * 0.99,
            streaming=False,
            chunks=1,
            **common,
        )
        ran_s = self.cap_s - self.retrieval_s - 0.01 if self.is_cut and self.cap_s else self.stream_s
        generate = make_call(
            caller="gateway",
            callee="generator",
            vantage="client",
            route="/v1/chat",
            outcome="cancelled" if self.is_cut else "ok",
            **self._stream(ran_s),
            **common,
        )
        seen_s = self.cap_s if self.is_cut and self.cap_s else self.whole_s
        user = {"caller": "ingress", "callee": "gateway", "route": "/ask", **common}
        proxy = make_call(
            vantage="proxy_in",
            duration_s=seen_s,
            outcome="timeout" if self.is_cut else "ok",
            response_flags="UT" if self.is_cut else None,
            streaming=None,
            **user,
        )
        server = make_call(
            vantage="server",
            outcome="cancelled" if self.is_cut else "ok",
            **self._stream(seen_s, self.retrieval_s + 0.01),
            **user,
        )
        return [search, generate, proxy, server]

    def _stream(self, ran_s: float, before_s: float = 0.0) -> dict[str, Any]:
        """What an SDK sees of the stream in `ran_s` seconds, of which `before_s` passed before it was asked for."""
        first_s = before_s + self.first_token_s
        if first_s > ran_s:
            return {"duration_s": ran_s}
        chunks = min(self.chunks, int((ran_s - first_s) / self.per_chunk_s) + 1)
        return {
            "duration_s": ran_s,
            "first_byte_s": first_s - 0.001,
            "first_token_s": first_s,
            "max_gap_s": 2 * self.per_chunk_s,
            "open_gap_s": self.per_chunk_s / 2 if self.is_cut else None,
            "chunks": chunks,
            "output_tokens": chunks,
        }


def requests(count: int, *, cap_s: float | None, seed: int = 1) -> list[Request]:
    """`count` requests, half of them each model; the same seed gives the same truth under any cap."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        model = ("small", "large")[number % 2]
        made.append(
            Request(
                trace_id=int(rng.integers(1, 2**62)).to_bytes(16, "big"),
                at_s=number * 0.7,
                model=model,
                retrieval_s=float(rng.lognormal(-2, 0.3)),
                first_token_s=float(rng.lognormal(-1.2, 0.4)),
                chunks=int(rng.integers(20, 200)),
                per_chunk_s=PER_CHUNK_S[model] * float(rng.lognormal(0, 0.1)),
                cap_s=cap_s,
            )
        )
    return made


@cache
def chain_calls(count: int = 800, *, cap_s: float | None = None, seed: int = 1) -> pl.DataFrame:
    """The calls of `requests`."""
    return make_calls([row for request in requests(count, cap_s=cap_s, seed=seed) for row in request.rows()])


def plain_calls(durations_s: np.ndarray | list[float], **columns: Any) -> pl.DataFrame:
    """One client call of gateway>generator for each duration, not streamed, a second apart."""
    rows = (
        make_call(
            duration_s=float(s),
            first_byte_s=float(s),
            at_s=n,
            **{"vantage": "client", "streaming": False, "chunks": 1} | columns,
        )
        for n, s in enumerate(durations_s)
    )
    return make_calls(list(rows))
