"""Requests to hosted models as measured by ray-project/llmperf-leaderboard (December 2023): 11 services, 150 streams each."""

import json

import polars as pl

from .calls import make_call, make_calls
from .shared import shared


def llmperf_calls() -> pl.DataFrame:
    """A call for each request; bench>provider is the hop, 7b or 13b the model. Files tell no time: they are a second apart."""
    rows = []
    for path in sorted(shared("data", "llmperf").glob("*.json")):
        provider, size = path.stem.split("_")
        for number, request in enumerate(json.loads(path.read_text())):
            ok = request["error_code"] is None
            rows.append(
                make_call(
                    caller="bench",
                    callee=provider,
                    model=size,
                    vantage="client",
                    at_s=number,
                    outcome="ok" if ok else "error",
                    duration_s=request["end_to_end_latency_s"] if ok else None,
                    first_token_s=request["ttft_s"] if ok else None,
                    output_tokens=request["number_output_tokens"] if ok else None,
                    input_tokens=request["number_input_tokens"] if ok else None,
                )
            )
    return make_calls(rows)
