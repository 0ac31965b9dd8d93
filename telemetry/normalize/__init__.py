"""Bytes and spans to canonical call rows: decode, tell calls from mere spans, and let the calls of a trace complete each other.

`decode_traces` and `decode_traces_json` read OTLP; `to_calls` turns the spans of a frame into call rows; `resolve` completes
rows from their trace mates and may be run again whenever more of a trace is at hand.
"""

from .calls import Normalized, normalize, to_calls
from .decode import decode_traces
from .otlp_json import decode_traces_json, traces_json_to_protobuf
from .resolve import resolve
from .spans import SPANS, Decoded, Rejection

__all__ = [
    "SPANS",
    "Decoded",
    "Normalized",
    "Rejection",
    "decode_traces",
    "decode_traces_json",
    "normalize",
    "resolve",
    "to_calls",
    "traces_json_to_protobuf",
]
