"""Dashboards as a Prometheus meets them: their queries with Grafana's variables filled in, and what it answers."""

import json
import math
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Asked:
    """One query of a panel."""

    file: str
    panel: str
    ref: str
    expr: str

    def __str__(self) -> str:
        return f"{self.file} | {self.panel} | {self.ref}"


def queries(files: dict[str, str]) -> Iterator[Asked]:
    """Every query of every panel of the dashboards among these files."""
    for path, text in files.items():
        for panel in json.loads(text)["panels"] if path.endswith(".json") else ():
            for target in panel.get("targets", ()):
                if "expr" in target:
                    yield Asked(path, panel["title"], target["refId"], target["expr"])


def filled(expr: str, **variables: str) -> str:
    """`expr` as Grafana sends it; a variable that is not given is All."""
    known = {"__rate_interval": "2m", "__range": "10m", **variables}
    return re.sub(r"\$([a-z_]+)", lambda found: known.get(found[1], ".*"), expr)


def ask(url: str, expr: str, at_s: float) -> list[dict[str, Any]]:
    """The series and values that a Prometheus answers with; AssertionError with its reason where it refuses."""
    body = urllib.parse.urlencode({"query": expr, "time": at_s}).encode()
    try:
        with urllib.request.urlopen(f"{url}/api/v1/query", body, timeout=60) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.read().decode()}\n{expr}") from None
    return result


def values(url: str, expr: str, at_s: float, *labels: str) -> dict[Any, float]:
    """Values by some labels of the series, one label or several; series without a number are left out."""
    found = {}
    for each in ask(url, expr, at_s):
        key = tuple(each["metric"].get(label, "") for label in labels)
        assert key not in found, f"two series are {key}"
        if not math.isnan(value := float(each["value"][1])):
            found[key if len(labels) > 1 else key[0]] = value
    return found
