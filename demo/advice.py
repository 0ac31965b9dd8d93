"""What meshslo makes of a run: its report, its recommendations, and the policies they become."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from meshslo.analysis import open_store
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.emit import Emission, emit
from meshslo.analysis.policy.deployed import read_deployed
from meshslo.analysis.recommend import Recommendation, Recommendations
from meshslo.analysis.report import Report

from .load_plan import MAX_TOKENS
from .measure import ENTRY, GENERATION
from .settings import CHAT, HOPS, DemoSettings

CONFIG: Final = """\
# What the demo asks of its mesh. `meshslo recommend --config` reads this file.
[objectives]
false_timeout_ratio = {ratio}  # share of healthy calls that each timer may cut: {calls} calls a target can show it

[chain]
deadline_s = {deadline_s:g}  # what a user waits at most

[emit]
namespace = "demo"
model_header = "x-model"

# Searching twice does no harm; generating twice costs tokens.
[hops."gateway>retriever"]
idempotent = true

[hops."retriever>reranker"]
idempotent = true

# What users are promised. `meshslo slo --config` reads it, and the dashboard's page.
[[slo]]
name = "chat-works"
hop = "ingress>gateway"
sli = "success"
target = 0.95
window = "1d"

[[slo]]
name = "first-token"
hop = "ingress>gateway"
sli = "first_token"
threshold_s = 5.0
target = 0.9
window = "1d"

[[slo]]
name = "search-fast"
hop = "gateway>retriever"
sli = "total"
threshold_s = 2.5
target = 0.95
window = "1d"
"""

CUTTING: Final = ("total_timeout", "idle_gap_timeout", "per_try_timeout")
"""Settings whose timers end a stream."""

KINDS: Final = ("timeouts", "retries")
"""What the demo mends; `demo.scenarios` mend the rest."""

PROMISING: Final = ("change", "explore", "keep")

STREAMED: Final = (ENTRY, GENERATION)
"""Hops that carry streams."""


@dataclass(frozen=True)
class Advice:
    """The report and the recommendations of one window, and what they become as Envoy's and Istio's documents."""

    report: Report
    recommendations: Recommendations
    envoy: Emission
    istio: Emission

    @property
    def promised_rate(self) -> float | None:
        """Share of streams that the recommended timers cut at most, by their own promises; None where one of streams has none.

        A stream passes every timer of every hop, so their rates add up (Boole); of a timer's values for several models the
        worst counts.
        """
        worst: dict[tuple[str, str], float] = {}
        for item in self.recommendations.items:
            if item.setting in CUTTING and item.target.hop in HOPS:
                rate = _promise(item)
                if rate is None and item.target.hop in STREAMED and item.setting == "total_timeout":
                    return None
                timer = (item.target.hop, item.setting)
                worst[timer] = max(worst.get(timer, 0.0), rate or 0.0)
        return min(1.0, sum(worst.values()))

    def write_envoy(self, folder: Path) -> dict[str, Path]:
        """Write the proxies' new bootstraps into `folder`; path by service."""
        _write(self.envoy, folder)
        return {Path(document.path).stem: folder / document.path for document in self.envoy.documents}

    def write(self, folder: Path) -> None:
        """Write recommendations.json, envoy/ and istio/ into `folder`."""
        (folder / "recommendations.json").write_text(self.recommendations.to_json() + "\n")
        _write(self.envoy, folder / "envoy")
        _write(self.istio, folder / "istio")


def _promise(item: Recommendation) -> float | None:
    """The rate of false timeouts under a setting; of a callee's that explores, what its shorter timer of now is seen to cut."""
    effect = item.effect.get("false_timeout_rate")
    if effect is None or item.status not in PROMISING:
        return None
    explores = item.status == "explore" and item.target.hop not in STREAMED
    return effect.before if explores else effect.after


def longest_hold_s(bootstraps: Mapping[str, Path]) -> float | None:
    """How long the entry's proxy holds a call that never answers: its longest total timeout; None where it has none."""
    deployed = read_deployed({path.name: path.read_text() for path in bootstraps.values()})
    found = (deployed.find("total_timeout", "gateway", CHAT, model) for model in MAX_TOKENS)
    return max((float(placed.value) for placed in found if placed is not None), default=None)


def write_config(path: Path, settings: DemoSettings) -> Config:
    """Write the demo's meshslo.toml and read it back."""
    calls = 299 if settings.false_timeout_ratio <= 0.01 else 59
    text = CONFIG.format(ratio=settings.false_timeout_ratio, calls=calls, deadline_s=settings.deadline_s)
    models = (f'\n[models."{model}"]\nmax_tokens = {tokens}\n' for model, tokens in MAX_TOKENS.items())
    path.write_text(text + "".join(models))
    return parse_config(path.read_text(), name=str(path))


def advise(store: Path, window: tuple[datetime, datetime], config: Config, bootstraps: Mapping[str, Path]) -> Advice:
    """Report on the calls of `window` and recommend, with the proxies' present bootstraps as what is deployed."""
    calls = open_store(store)
    manifests = {path.name: path.read_text() for path in bootstraps.values()}
    deployed = read_deployed(manifests, model_header=config.emit.model_header)
    justified = calls.recommend(KINDS, config=config, deployed=deployed, since=window[0], until=window[1])
    envoy = emit("envoy", justified, settings=config.emit, manifests=manifests)
    return Advice(
        report=calls.report(by=["hop", "model"], since=window[0], until=window[1]),
        recommendations=justified.with_answers(envoy.unexpressed),
        envoy=envoy,
        istio=emit("istio", justified, settings=config.emit),
    )


def _write(emission: Emission, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for document in emission.documents:
        (folder / document.path).write_text(document.text)
