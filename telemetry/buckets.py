"""Buckets of the histograms that services send: exponential ones, and classic ones where these cannot be."""

from typing import Final

ROLLUP_SCALE: Final = 6
MAX_BUCKETS: Final = 1_400
"""ceil(log2(3600 s / 0.001 s) * 2**6) = 1,394 buckets hold everything between 1 ms and 1 h."""

STREAM_EDGES_S: Final = (
    *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0),
    *(90.0, 120.0, 180.0, 300.0, 600.0, 900.0),
)
"""Edges of classic buckets: they reach as far as streams do, not to the conventions' 10 s."""
