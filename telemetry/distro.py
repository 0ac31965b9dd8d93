"""The distribution that `opentelemetry-instrument` loads: standard variables get the defaults that meshslo can serve.

Only that command imports this module, and it brings the base class.
"""

import os
from importlib.metadata import entry_points
from typing import Any

from opentelemetry.instrumentation.distro import BaseDistro  # type: ignore[attr-defined] # the package is untyped

NAME = "meshslo"


class Distro(BaseDistro):  # type: ignore[misc] # same
    """Spans go out by OTLP over HTTP unless variables say otherwise; another distribution that is installed has its say."""

    def _configure(self, **kwargs: Any) -> None:
        others = [entry for entry in entry_points(group="opentelemetry_distro") if entry.name != NAME]
        if others and os.environ.get("OTEL_PYTHON_DISTRO") != NAME:
            others[0].load()().configure(**kwargs)
        os.environ.setdefault("OTEL_TRACES_EXPORTER", "otlp")
        os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
