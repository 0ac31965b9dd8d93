"""The meshes' own schemas, strict: a field that a CRD does not know is an error, as it is to `kubectl --validate=strict`."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema
import yaml

from meshslo.analysis.policy.durations import parse_duration_s
from meshslo.telemetry.errors import BadInputError

from .shared import shared


@cache
def schemas(*folder: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) -> schema with unknown fields closed, of every CRD file in a folder below `crds`."""
    found = {}
    for path in sorted(shared("crds", *folder).glob("*.yaml")):
        for crd in yaml.safe_load_all(path.read_text()):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[key] = _closed(version["schema"]["openAPIV3Schema"])
    return found


def problems(document: dict[str, Any], *folder: str) -> list[str]:
    """What the schema, its duration rules and Istio's own list grammar say against a document."""
    schema = schemas(*folder).get((document.get("apiVersion", ""), document.get("kind", "")))
    if schema is None:
        return [f"unknown kind {document.get('apiVersion')} {document.get('kind')}"]
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(body)
    return [f"{'.'.join(map(str, e.path))}: {e.message}" for e in errors] + list(_rules(schema, body, ""))


def _closed(schema: Any) -> Any:
    """The schema with `additionalProperties: false` wherever properties are listed; Kubernetes' own top keys left out."""
    if isinstance(schema, list):
        return [_closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if closed.get("x-kubernetes-int-or-string"):
        closed["type"] = ["integer", "string"]
        closed.pop("anyOf", None)
    open_ended = closed.get("x-kubernetes-preserve-unknown-fields") or "type" not in closed
    if isinstance(closed.get("properties"), dict) and not open_ended:
        closed.setdefault("additionalProperties", False)
    if closed.get("type") == "object" and "properties" in closed:
        for key in ("apiVersion", "kind", "metadata"):
            if "metadata" in closed["properties"] and "spec" in closed["properties"]:
                closed["properties"].pop(key, None)
                closed["required"] = [name for name in closed.get("required", []) if name != key]
    return closed


def _rules(schema: Any, value: Any, at: str) -> Iterator[str]:
    """CEL rules that matter here, evaluated by hand: durations of at least 1 ms."""
    for rule in schema.get("x-kubernetes-validations", []):
        limit = re.search(r"duration\(self\) >= duration\('(\w+)'\)", rule["rule"])
        if limit and isinstance(value, str):
            try:
                if parse_duration_s(value) < parse_duration_s(limit[1]):
                    yield f"{at}: {value} is shorter than {limit[1]}"
            except BadInputError as error:
                yield f"{at}: {error}"
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _rules(schema.get("properties", {}).get(key, {}), child, f"{at}.{key}")
    if isinstance(value, list):
        for number, child in enumerate(value):
            yield from _rules(schema.get("items", {}), child, f"{at}[{number}]")
    if at.endswith(".retryOn") and isinstance(value, str) and not re.fullmatch(r"[a-z0-9-]+(,[a-z0-9-]+)*", value):
        yield f"{at}: {value!r}: Istio splits at commas without trimming"
