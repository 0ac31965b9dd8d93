"""Objectives as OpenSLO documents (apiVersion openslo/v1), in and out.

A phase is a `thresholdMetric` with `op: lte` and its value in seconds; success and goodput are a `ratioMetric` of calls.
What selects the calls stands in the metric source, of type `meshslo`. Source: OpenSLO/OpenSLO, README, kinds SLO and SLI.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args

from pydantic import ValidationError

from meshslo.analysis.policy.manifest import Manifest, dump, load
from meshslo.telemetry.errors import BadInputError
from meshslo.telemetry.vocabulary import Phase

from .objective import SELECTION, Objective, contradictions

API: Final = "openslo/v1"
SOURCE: Final = "meshslo"
_OTHERS: Final = frozenset({"DataSource", "AlertPolicy", "AlertCondition", "AlertNotificationTarget", "Service"})
"""Kinds that hold nothing an objective needs."""


def to_openslo(objectives: Iterable[Objective]) -> str:
    """The documents of `objectives`, in their order; `parse_openslo` gives them back."""
    return "---\n".join(dump(_document(objective)) for objective in objectives)


def _document(objective: Objective) -> dict[str, Any]:
    terms: dict[str, Any] = {"target": objective.target}
    if objective.threshold_s is not None:
        terms = {"op": "lte", "value": objective.threshold_s, **terms}
    return {
        "apiVersion": API,
        "kind": "SLO",
        "metadata": {"name": objective.name},
        "spec": {
            "description": str(objective),
            "service": objective.hop.partition(">")[2],
            "indicator": {"metadata": {"name": f"{objective.name}-sli"}, "spec": _indicator(objective)},
            "timeWindow": [{"duration": objective.window, "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [terms],
        },
    }


def _indicator(objective: Objective) -> dict[str, Any]:
    selection: dict[str, Any] = dict(objective.selection)
    if objective.vantage:
        selection["vantage"] = objective.vantage
    if objective.phase:
        return {"thresholdMetric": _source({**selection, "sli": objective.phase})}
    good = {**selection, "sli": objective.sli}
    if objective.all_of:
        good["all_of"] = list(objective.all_of)
    return {"ratioMetric": {"counter": True, "good": _source(good), "total": _source(selection)}}


def _source(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"metricSource": {"type": SOURCE, "spec": dict(spec)}}


def parse_openslo(text: str, name: str) -> tuple[Objective, ...]:
    """The objectives in OpenSLO YAML; `name` stands for the file in messages.

    An SLO with several objectives gives one each, numbered. An SLI that `indicatorRef` names may stand in the same text.
    Raises BadInputError naming file, line and field: no OpenSLO, a calendar window, another metric source, another method.
    """
    manifests = load(text, name)
    for manifest in manifests:
        if manifest.body.get("apiVersion") != API:
            raise BadInputError(f"{manifest.place(manifest.body, 'apiVersion')}: apiVersion is not {API}; only that is read")
    indicators = {_at(m, m.body, "metadata", "name"): _at(m, m.body, "spec") for m in manifests if m.kind == "SLI"}
    known = {"SLO", "SLI", *_OTHERS}
    for manifest in manifests:
        if manifest.kind not in known:
            raise BadInputError(
                f"{manifest.place(manifest.body, 'kind')}: {manifest.kind or 'no kind'} is none of {sorted(known)}"
            )
    found = [each for manifest in manifests if manifest.kind == "SLO" for each in _objectives(manifest, indicators)]
    if not found:
        raise BadInputError(f"{name} holds no document of kind SLO; pass one, or write [[slo]] tables in meshslo.toml")
    for problem in contradictions(found):
        raise BadInputError(f"{name}: {problem}")
    return tuple(found)


def _objectives(manifest: Manifest, indicators: Mapping[str, Any]) -> Iterable[Objective]:
    spec = _at(manifest, manifest.body, "spec")
    name = str(_at(manifest, manifest.body, "metadata", "name"))
    if spec.get("budgetingMethod") != "Occurrences":
        raise _refused(
            manifest, spec, "budgetingMethod", f"{spec.get('budgetingMethod')} is not counted; only Occurrences (calls) is"
        )
    terms = list(_at(manifest, spec, "objectives"))
    for number, each in enumerate(terms, 1):
        indicator = _indicator_of(manifest, spec, each, indicators)
        keys = {**indicator, "window": _window(manifest, spec), "target": _target(manifest, each)}
        keys["name"] = name if len(terms) == 1 else f"{name}-{number}"
        if keys.get("sli") in get_args(Phase):
            keys["threshold_s"] = _threshold_s(manifest, each)
        try:
            yield Objective.model_validate(keys)
        except ValidationError as error:
            told = "; ".join(
                f"{'.'.join(map(str, problem['loc'])) or 'objective'}: {problem['msg'].removeprefix('Value error, ')}"
                for problem in error.errors(include_url=False)
            )
            raise _refused(manifest, spec, "objectives", f'SLO "{name}": {told}') from None


def _indicator_of(manifest: Manifest, spec: Any, terms: Any, indicators: Mapping[str, Any]) -> dict[str, Any]:
    holder = terms if {"indicator", "indicatorRef"} & set(terms) else spec
    reference = holder.get("indicatorRef")
    if reference is not None and reference not in indicators:
        raise _refused(manifest, holder, "indicatorRef", f'no SLI "{reference}" is in the same file')
    indicator = indicators[reference] if reference is not None else _at(manifest, holder, "indicator", "spec")
    metric = indicator.get("thresholdMetric") or (indicator.get("ratioMetric") or {}).get("good") or {}
    source = metric.get("metricSource") or {}
    if source.get("type") != SOURCE:
        raise _refused(
            manifest,
            holder,
            "indicator",
            f"its metric source is {source.get('type') or 'not named'}, whose query no stored call answers; write "
            f'"metricSource: {{type: {SOURCE}, spec: {{hop: caller>callee, sli: total}}}}" (also {", ".join(SELECTION[1:])}) '
            "in a thresholdMetric, or in the good part of a ratioMetric",
        )
    return {str(key): _plain(value) for key, value in (source.get("spec") or {}).items()}


def _window(manifest: Manifest, spec: Any) -> str:
    windows = _at(manifest, spec, "timeWindow")
    if len(windows) != 1 or "calendar" in windows[0] or not windows[0].get("isRolling", False):
        raise _refused(
            manifest, spec, "timeWindow", "one rolling window is needed (isRolling: true); calendar windows are not kept"
        )
    return str(windows[0].get("duration"))


def _target(manifest: Manifest, terms: Any) -> float:
    if ("target" in terms) == ("targetPercent" in terms):
        raise BadInputError(f"{manifest.place(terms, 'target')}: an objective has target or targetPercent, one of them")
    return float(terms["target"]) if "target" in terms else round(float(terms["targetPercent"]) / 100.0, 12)


def _threshold_s(manifest: Manifest, terms: Any) -> float:
    if terms.get("op") not in ("lte", "lt"):
        raise _refused(manifest, terms, "op", f"{terms.get('op')} is not lte or lt: a duration must stay within its value")
    if not isinstance(terms.get("value"), int | float):
        raise _refused(manifest, terms, "value", f"{terms.get('value')!r} is no number of seconds")
    return float(terms["value"])


def _at(manifest: Manifest, node: Any, *path: str) -> Any:
    """What stands at `path` below `node`; BadInputError names what is missing and where."""
    for key in path:
        if not isinstance(node, Mapping) or not node.get(key):
            place = manifest.place(node, key) if isinstance(node, Mapping) else manifest.file
            raise BadInputError(f"{place}: {manifest.kind} without {'.'.join(path)}")
        node = node[key]
    return node


def _plain(value: Any) -> Any:
    return [str(each) for each in value] if isinstance(value, list) else value


def _refused(manifest: Manifest, node: Any, key: str, what: str) -> BadInputError:
    return BadInputError(f"{manifest.place(node, key)}: {key}: {what}")
