"""The meshes' own schemas, strict: a field that a CRD does not know is an error, as it is to `kubectl --validate=strict`.

The rules in CEL that a CRD carries are evaluated as the API server does; what the control planes refuse beyond that is in
`control_planes`.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import cel
import jsonschema
import yaml

from .control_planes import refusals
from .shared import ROOT, shared

OWN = {"envoy-gateway": ROOT / "tests" / "support" / "schemas"}
"""Folders of schemas that stand here; the others are below `crds` of the shared folder."""


@cache
def schemas(*folder: str) -> dict[tuple[str, str], dict[str, Any]]:
    """(apiVersion, kind) -> schema with unknown fields closed, of every CRD file in a folder."""
    found = {}
    for path in sorted(_folder(*folder).glob("*.yaml")):
        for crd in yaml.load_all(path.read_text(), yaml.CSafeLoader):
            if crd and crd.get("kind") == "CustomResourceDefinition":
                for version in crd["spec"]["versions"]:
                    key = (f"{crd['spec']['group']}/{version['name']}", crd["spec"]["names"]["kind"])
                    found[key] = _closed(version["schema"]["openAPIV3Schema"])
    return found


def _folder(*folder: str) -> Path:
    return OWN.get(folder[0]) or shared("crds", *folder)


def problems(document: dict[str, Any], *folder: str) -> list[str]:
    """What the schema, its CEL rules and the mesh's control plane say against a document."""
    schema = schemas(*folder).get((document.get("apiVersion", ""), document.get("kind", "")))
    if schema is None:
        return [f"unknown kind {document.get('apiVersion')} {document.get('kind')}"]
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "metadata")}
    errors = jsonschema.Draft202012Validator(schema).iter_errors(body)
    return [
        *(f"{'.'.join(map(str, e.path))}: {e.message}" for e in errors),
        *_rules(schema, body, ""),
        *refusals(document),
    ]


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
    """The CEL rules that do not hold, at every place of a document; a rule that cannot be evaluated is a failure too."""
    for rule in schema.get("x-kubernetes-validations", []):
        # What compares with the object before is for updates.
        if "oldSelf" not in rule["rule"] and not _holds(rule["rule"], _filled(schema, value)):
            yield f"{at}: {rule.get('message', rule['rule'])}"
    if isinstance(value, dict):
        for key, child in value.items():
            below = schema.get("properties", {}).get(key) or schema.get("additionalProperties")
            yield from _rules(below if isinstance(below, dict) else {}, child, f"{at}.{key}")
    if isinstance(value, list):
        for number, child in enumerate(value):
            yield from _rules(schema.get("items", {}), child, f"{at}[{number}]")


def _filled(schema: Any, value: Any) -> Any:
    """A value with the schema's defaults, which the API server puts in before it looks at rules."""
    if isinstance(value, list):
        return [_filled(schema.get("items", {}), each) for each in value]
    if not isinstance(value, dict):
        return value
    known = schema.get("properties", {})
    given = {key: _filled(known.get(key, {}), each) for key, each in value.items()}
    return {key: part["default"] for key, part in known.items() if isinstance(part, dict) and "default" in part} | given


def _holds(rule: str, value: Any) -> bool:
    return bool(cel.evaluate(rule, {"self": value}))
