"""Who a service is: OpenTelemetry's resource, with what Kubernetes tells a pod about itself."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from opentelemetry.sdk.resources import SERVICE_NAME, Resource

NAMESPACE_FILE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
"""Where Kubernetes mounts the name of the pod's namespace."""

UNNAMED: Final = "unknown_service"
"""What OpenTelemetry calls a service that nobody named."""


def resource_of(service: str | None, attributes: Mapping[str, str] | None = None) -> Resource:
    """The resource of this process: what the code states, then OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES, then the pod."""
    stated = {**({SERVICE_NAME: service} if service else {}), **(attributes or {})}
    return Resource(_pod()).merge(Resource.create(stated))


def _pod() -> dict[str, str]:
    """Pod and namespace where this process runs in Kubernetes, as far as they can be known without the downward API."""
    if not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return {}
    found = {"k8s.pod.name": os.environ.get("HOSTNAME", "")}
    if NAMESPACE_FILE.is_file():
        found["k8s.namespace.name"] = NAMESPACE_FILE.read_text().strip()
    return {name: value for name, value in found.items() if value}
