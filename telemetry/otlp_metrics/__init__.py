"""OTLP metrics of calls: histograms and counters of the profiles that `telemetry.prometheus` knows, pushed instead of pulled.

messages      bytes and JSON to messages, which metrics a profile reads, why a data point cannot be taken
held          what a data point holds: explicit and exponential buckets as one thing
growth        what each stream of data points grew by: delta and cumulative, restarts, repeats
points        the data points of a message: whose stream, which metric of a profile
counting      many messages to rows of `telemetry.store.metrics`, and what must be remembered for the next
"""

from .counting import STATE, Counted, count_points
from .messages import metrics_json_to_protobuf, parse_metrics

__all__ = ["STATE", "Counted", "count_points", "metrics_json_to_protobuf", "parse_metrics"]
