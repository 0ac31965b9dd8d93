"""`meshslo rules`: Prometheus rules that watch the objectives, and alerts on cut streams."""

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from meshslo.dashboards.console import err
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from meshslo.telemetry.vocabulary import Vantage


_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class Form(StrEnum):
    """What the rules are loaded by."""

    prometheus = "prometheus"
    kubernetes = "kubernetes"


_Out = Annotated[Path, typer.Option("--out", help="Folder that the rule file is written into.", show_default=False)]
_Config = Annotated[Path | None, typer.Option("--config", help="Objectives; meshslo.toml here, if there is one.")]
_OpenSlo = Annotated[list[Path] | None, typer.Option("--openslo", help="OpenSLO files with objectives besides (repeat).")]
_Producer = Annotated[
    str,
    typer.Option(
        "--producer", help="Whose metrics Prometheus has: meshslo (our collector's), istio, linkerd, envoy, vllm, genai."
    ),
]
_Label = Annotated[
    list[str] | None,
    typer.Option("--label", help="KEY=LABEL: another label of the producer's for caller, callee, route, ... (repeat)."),
]
_Vantage = Annotated[
    str | None,
    typer.Option(
        "--vantage", help="Who is asked where an objective names nobody; else the producer's outermost.", show_default=False
    ),
]
_Form = Annotated[Form, typer.Option("--form", help="A rule file, or a PrometheusRule for the Prometheus operator.")]


def rules(
    out_dir: _Out,
    config: _Config = None,
    openslo: _OpenSlo = None,
    producer: _Producer = "meshslo",
    label: _Label = None,
    vantage: _Vantage = None,
    form: _Form = Form.prometheus,
) -> None:
    """Write Prometheus rules: counts of each objective, burn-rate alerts, alerts on streams that timers cut.

    A threshold that lies between two buckets of the producer's histogram is refused, and the nearest usable ones are named.
    Each alert says which meshslo command to run. What cannot be watched is listed on standard error and in the file.

    Example: meshslo rules --out rules/ --config meshslo.toml --producer meshslo
    """
    from meshslo.dashboards.objectives import read_objectives
    from meshslo.dashboards.rules.document import make_rules, producer_called

    settings = read_objectives(config, openslo or [])
    made = make_rules(settings, producer_called(producer).relabelled(_labels(label or [])), _vantage(vantage))
    out_dir.mkdir(parents=True, exist_ok=True)
    path = out_dir / f"{made.name}.yaml"
    path.write_text(made.to_yaml() if form is Form.prometheus else made.to_kubernetes(), encoding="utf-8")
    typer.echo(str(path))
    for sentence in made.left_out:
        say(err(), f"left out: {sentence}")


def _labels(told: list[str]) -> dict[str, str]:
    from meshslo.telemetry.errors import BadConfigError

    pairs = [text.partition("=") for text in told]
    wrong = [text for text, (_, _, label) in zip(told, pairs, strict=True) if not _LABEL.fullmatch(label)]
    if wrong:
        raise BadConfigError(f"--label {wrong[0]} is no KEY=LABEL, such as caller=job")
    return {key: label for key, _, label in pairs}


def _vantage(text: str | None) -> "Vantage | None":
    from meshslo.telemetry.errors import BadConfigError
    from meshslo.telemetry.vocabulary import VANTAGES

    if text is None:
        return None
    found = next((vantage for vantage in VANTAGES if vantage == text), None)
    if found is None:
        raise BadConfigError(f"vantage {text!r} is none of {', '.join(VANTAGES)}")
    return found


COMMAND = Command(rules)
