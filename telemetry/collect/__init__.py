"""The collector: OTLP over gRPC and HTTP into a store, acknowledged only once it is on the disk."""

from .collector import Listening, collect
from .settings import Address, CollectSettings, parse_address

__all__ = ["Address", "CollectSettings", "Listening", "collect", "parse_address"]
