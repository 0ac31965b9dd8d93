"""The route template of a request, as the framework matched it: never the raw path."""

from collections.abc import Mapping
from typing import Any


def route_template(scope: Mapping[str, Any]) -> str | None:
    """The template of the route that an ASGI scope was dispatched to, prefixes included; None where none matched.

    Starlette and FastAPI leave the route in the scope. A mount leaves its prefix as the raw path, whose parts that are
    parameters are turned back into their names.
    """
    native = getattr(scope.get("fastapi.telemetry"), "route", None)
    if isinstance(native, str):
        return native
    path = _path_of(scope)
    return None if path is None else (_mount_prefix(scope) + path or "/")


def _path_of(scope: Mapping[str, Any]) -> str | None:
    """The matched route's own path; FastAPI keeps that of an included router, with its prefix, beside the route."""
    beside = scope.get("fastapi")
    included = beside.get("effective_route_context") if isinstance(beside, Mapping) else None
    for holder in (included, scope.get("route")):
        path = getattr(holder, "path_format", None) or getattr(holder, "path", None)
        if isinstance(path, str):
            # A mount that ends here (static files) is all prefix.
            return path if hasattr(holder, "methods") else ""
    return None


def _mount_prefix(scope: Mapping[str, Any]) -> str:
    """The path below which the route's application is mounted, with parameters as `{name}`."""
    root = str(scope.get("root_path") or "")
    outer = str(scope.get("app_root_path", root))
    mounted = root.removeprefix(outer) if outer != root else ""
    values = {str(value): f"{{{name}}}" for name, value in reversed((scope.get("path_params") or {}).items())}
    for value in filter(lambda value: "/" in value, values):
        mounted = mounted.replace(value, values[value])
    return "/".join(values.get(part, part) for part in mounted.split("/"))
