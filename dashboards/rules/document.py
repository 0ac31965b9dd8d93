"""The rule file of a producer: what a config's objectives come to, and what had to be left out."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from meshslo.analysis.config import Config
from meshslo.analysis.policy.manifest import dump
from meshslo.analysis.slo.objective import Objective
from meshslo.telemetry.discovery import members
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.vocabulary import Vantage

from . import Producer
from .burn import burn_group, unreachable
from .indicators import Indicator, problem, selected
from .streams import left_out, streams_group

PACKAGE: Final = __name__.rpartition(".")[0]


@dataclass(frozen=True)
class Rules:
    """A rule file: its name, its groups, the comments at its top, and sentences on what it leaves out."""

    name: str
    groups: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    left_out: tuple[str, ...]

    def to_yaml(self) -> str:
        """The file as Prometheus loads it (`rule_files`)."""
        return self._head() + dump({"groups": list(self.groups)})

    def to_kubernetes(self) -> str:
        """The same as a PrometheusRule for the Prometheus operator."""
        body = {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/name": "meshslo"}},
            "spec": {"groups": list(self.groups)},
        }
        return self._head() + dump(body)

    def _head(self) -> str:
        lines = [f"Made by `meshslo rules`; change meshslo.toml instead. {len(self.groups)} groups.", *self.notes]
        lines += [f"Left out: {sentence}" for sentence in self.left_out]
        return "".join(f"# {line}\n" for line in lines)


def producer_called(name: str) -> Producer:
    """The producer of this name; BadConfigError names those there are."""
    found = {producer.name: producer for producer in producers()}
    if name not in found:
        raise BadConfigError(f"no producer called {name}; there are {', '.join(found)}")
    return found[name]


def producers() -> Iterator[Producer]:
    """Every producer there is."""
    return (cast("Producer", member) for member in members(sys.modules[PACKAGE], "PRODUCER"))


def make_rules(config: Config, producer: Producer, vantage: Vantage | None = None) -> Rules:
    """The rules of the objectives of `config` over the metrics of `producer`, and its alerts on streams.

    `vantage` is asked where an objective names none; the producer's outermost where it is not given either.
    Raises BadConfigError for thresholds between buckets (naming the nearest), phases and vantages that the producer lacks.
    """
    wrong = [sentence for objective in config.slo if (sentence := problem(producer, objective))]
    if wrong:
        raise BadConfigError("; ".join(wrong))
    told = [objective for objective in config.slo if objective.sli != "goodput"]
    groups = [burn_group(_indicator(producer, objective, vantage)) for objective in told]
    groups.append(streams_group(producer, config, _matcher(producer, vantage)))
    missing = [
        *(_no_goodput(objective) for objective in config.slo if objective.sli == "goodput"),
        *(sentence for objective in told for sentence in unreachable(objective)),
        *left_out(producer),
    ]
    return Rules(f"meshslo-{producer.name}", tuple(groups), producer.notes, tuple(missing))


def _indicator(producer: Producer, objective: Objective, vantage: Vantage | None) -> Indicator:
    lacking = [key for key in objective.selection if key != "hop" and key not in producer.labels]
    if lacking:
        raise BadConfigError(f'slo "{objective.name}": {producer.name} has no label for {", ".join(lacking)}')
    return Indicator(producer, objective, selected(producer, objective, _matcher(producer, objective.vantage or vantage)))


def _matcher(producer: Producer, vantage: Vantage | None) -> str:
    if vantage is None:
        return next(iter(producer.vantages.values()))
    if vantage not in producer.vantages:
        raise BadConfigError(f"{producer.name} does not see calls from {vantage}, only from {', '.join(producer.vantages)}")
    return producer.vantages[vantage]


def _no_goodput(objective: Objective) -> str:
    return (
        f'slo "{objective.name}": whether a call keeps all of {", ".join(objective.all_of)} is not in any histogram; '
        "the alerts of each stand for it, and `meshslo slo` counts it call by call"
    )
