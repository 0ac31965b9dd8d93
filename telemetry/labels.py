"""What a service may state of a call, and the attribute that each statement becomes."""

from collections.abc import Mapping
from typing import Final, TypedDict

from opentelemetry.util.types import AttributeValue

from . import names
from .baggage import CARRIED, bounded
from .baggage import label as label_of


class Labels(TypedDict, total=False):
    """What a service may state of the call it is serving or making."""

    tenant: str
    model: str
    route: str
    provider: str
    operation: str
    data_source: str
    input_tokens: int
    output_tokens: int
    streaming: bool
    attempt: int
    documents: int
    top_k: int


ATTRIBUTES: Final[Mapping[str, str]] = {
    "tenant": names.TENANT,
    "model": names.MODEL,
    "route": names.ROUTE,
    "provider": names.PROVIDER,
    "operation": names.OPERATION,
    "data_source": names.DATA_SOURCE,
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
    "streaming": names.STREAMING,
    "attempt": names.ATTEMPT,
    "documents": names.DOCUMENTS,
    "top_k": names.TOP_K,
}
"""The attribute that each of `Labels` becomes."""


def attributes_of(labels: Labels) -> dict[str, AttributeValue]:
    """The span attributes that `labels` become; TypeError names a label there is not."""
    unknown = sorted(set(labels) - set(ATTRIBUTES))
    if unknown:
        raise TypeError(f"not labels of a call: {', '.join(unknown)}; allowed are {', '.join(ATTRIBUTES)}")
    stated: dict[str, AttributeValue] = {}
    for label, value in labels.items():
        kept = _kept(ATTRIBUTES[label], value) if isinstance(value, str) else value
        if isinstance(kept, str | int):
            stated[ATTRIBUTES[label]] = kept
    return stated


def _kept(name: str, value: str) -> str | None:
    return label_of(name, value) if name in CARRIED else bounded(value)
