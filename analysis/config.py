"""`meshslo.toml`: objectives, limits, models, hops and what emitted policies need. One page of settings, all with defaults.

[objectives]
false_timeout_ratio = 0.001     # share of healthy calls that each timer may cut
budget_per = "timer"            # "call": all timers of a call together
total_follows = "calls"         # "max_tokens": totals cover answers of a model's max_tokens
confidence = 0.95

[chain]
deadline_s = 60.0               # what a user waits at most
amplification = 1.2             # calls made / requests asked, over the whole chain, at most

[models."llama-70b"]
max_tokens = 2048

[hops."gateway>retriever"]
idempotent = true               # repeating a call that may have begun does no harm

[prices]
crossing_per_call = 0.00002     # money for a call that leaves its caller's zone

[[slo]]                         # what is promised of calls: see `slo.objective`
name = "chat-first-token"
hop = "gateway>generator"
sli = "first_token"
threshold_s = 2.0
target = 0.99
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, field_validator, model_validator

from meshslo.telemetry.errors import BadConfigError

from .access import Access
from .boundary import Boundary
from .checking import Check
from .config_text import sentence
from .prices import Money, Prices
from .slo.objective import Objective, contradictions

Ratio = Annotated[float, Field(gt=0, lt=1)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Objectives(_Table):
    """What recommendations have to keep."""

    false_timeout_ratio: Ratio = 0.001
    """Share of calls that would have succeeded and that a timer may cut, or all timers of a call: see `budget_per`."""
    budget_per: Literal["timer", "call"] = "timer"
    """Whether each timer may cut that share, so that those of a call add up, or they share it, which takes more calls."""
    total_follows: Literal["calls", "max_tokens"] = "calls"
    """Whether total timeouts cover calls like those seen, or also answers of a model's `max_tokens`, however rare these are."""
    confidence: Annotated[float, Field(ge=0.5, lt=1)] = 0.95
    """One-sided confidence of every bound that a setting is taken from."""


class Limits(_Table):
    """How many names are kept apart; those beyond are counted as `__other__`."""

    routes: PositiveInt = 200
    """The routes with most calls are kept."""
    tenants: PositiveInt = 1000
    """The tenants with most calls are kept."""
    models: PositiveInt = 100
    """The models with most calls are kept."""


class Chain(_Table):
    """The whole chain, as its user sees it."""

    deadline_s: PositiveFloat | None = None
    """What a user waits at most; no timeout is recommended beyond it."""
    amplification: Annotated[float, Field(ge=1)] = 1.2
    """Calls made / requests asked, over the chain, at most."""


class Model(_Table):
    """What is known of a model beforehand."""

    max_tokens: PositiveInt | None = None
    """The longest answer it may give; bounds a stream whose end no data shows."""
    input_price: Money | None = None
    """Of what it reads; what else is paid stands in `prices`."""
    output_price: Money | None = None
    """Of what it writes."""


class Hop(_Table):
    """What differs for one hop, keyed `caller>callee`."""

    false_timeout_ratio: Ratio | None = None
    """In the place of the objectives' for this hop."""
    idempotent: bool = False
    """Whether repeating a call that the callee may have begun does no harm."""
    capacity_per_s: PositiveFloat | None = None
    """Calls a second that the callee can serve; bounds what retries may add at peak."""
    deadline_s: PositiveFloat | None = None
    """The longest a caller waits on this hop."""
    client_proxies: PositiveInt | None = None
    """Proxies of the caller that share the callee: each enforces its own breaker. Counted from calls where absent."""
    failover: tuple[str, str] | None = None
    """Clusters, providers or callees that can answer: the one that is preferred, and the one for when it cannot."""


class Retries(_Table):
    """What repetitions may cost."""

    cost_ratio: Ratio = 0.05
    """Largest share of executed calls, and so of tokens, that repetitions of begun calls may add."""


class Egress(_Table):
    """Which hosts outside the mesh services may call."""

    approved_hosts: tuple[str, ...] = ()
    """Names such as api.openai.com, or *.openai.com for all below; without any, what was called is taken for wanted."""


class Emit(_Table):
    """What emitted policies need to know of the mesh."""

    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")] = "default"
    """Namespace of what is emitted."""
    host: str = "{callee}"
    """Host of a callee in the mesh; `{callee}` and `{namespace}` are filled in."""
    port: Annotated[int, Field(ge=1, le=65535)] = 80
    """Port that callees answer on."""
    model_header: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")] = "x-model"
    """Request header that names the model, for values that differ by model."""
    region: str | None = None
    """Region of the zones, as Istio names it, for weights between zones."""
    gateway: str = "eg"
    """Gateway that routes of Envoy Gateway are attached to."""
    mesh_version: Annotated[str, Field(pattern=r"^\d+\.\d+(\.\d+)?")] | None = None
    """Version of the mesh the policies are for; the newest stable one where absent."""
    dry_run: bool = True
    """Whether policies of who may call whom only log what they would refuse, where the mesh has a way to."""


class Config(_Table):
    """Everything `meshslo.toml` may say; `Config()` holds the defaults."""

    objectives: Objectives = Objectives()
    limits: Limits = Limits()
    chain: Chain = Chain()
    retries: Retries = Retries()
    egress: Egress = Egress()
    prices: Prices = Prices()
    boundary: Boundary = Boundary()
    emit: Emit = Emit()
    check: Check = Check()
    models: dict[str, Model] = {}
    hops: dict[str, Hop] = {}
    dashboard: Access = Access()
    slo: tuple[Objective, ...] = ()
    """What is promised of calls: `meshslo slo` says how it stands, `meshslo rules` alerts when it is at risk."""
    profiles: dict[str, dict[str, Any]] = {}
    """Metrics of your own that `meshslo pull prometheus --config` reads: the keys of `telemetry.prometheus.profile.Profile`."""

    def hop(self, hop: str) -> Hop:
        """The settings of a hop, the defaults where it has none."""
        return self.hops.get(hop, Hop())

    def false_timeout_ratio(self, hop: str) -> float:
        """The false-timeout budget of a hop: its own, else the objectives'."""
        return self.hop(hop).false_timeout_ratio or self.objectives.false_timeout_ratio

    def timer_ratio(self, hop: str, timers: int) -> float:
        """The part of that budget that each of a call's `timers` has."""
        whole = self.false_timeout_ratio(hop)
        return whole / timers if self.objectives.budget_per == "call" else whole

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for problem in self._contradictions():
            raise ValueError(problem)
        return self

    @field_validator("profiles")
    @classmethod
    def _are_profiles(cls, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        from meshslo.telemetry.prometheus.profile import parse_profile

        try:
            for name, table in tables.items():
                parse_profile(name, table)
        except BadConfigError as error:
            raise ValueError(str(error)) from None
        return tables

    def _contradictions(self) -> Iterator[str]:
        whole_s = self.chain.deadline_s
        for name, hop in self.hops.items():
            if not re.fullmatch(r"[^>]+>[^>]+", name):
                yield f'[hops."{name}"] is no hop; write it as caller>callee, such as "gateway>retriever"'
            if hop.failover is not None and hop.failover[0] == hop.failover[1]:
                yield f'hops."{name}".failover names {hop.failover[0]} twice; name another one that can answer in its place'
            if whole_s is not None and hop.deadline_s is not None and hop.deadline_s > whole_s:
                yield (
                    f'hops."{name}".deadline_s = {hop.deadline_s:g} is longer than chain.deadline_s = {whole_s:g}, '
                    "inside which it must end; lower the first or raise the second"
                )
        yield from contradictions(self.slo)
        for objective in self.slo:
            yield from self._beyond_timers(objective)
        try:
            self.emit.host.format(callee="callee", namespace="namespace")
        except (KeyError, IndexError, ValueError) as error:
            yield f'emit.host = "{self.emit.host}" uses {error}; only {{callee}} and {{namespace}} are filled in'

    def _beyond_timers(self, objective: Objective) -> Iterator[str]:
        """What deadlines and timers, as configured, make impossible."""
        for name, deadline_s in (
            ("chain.deadline_s", self.chain.deadline_s),
            (f'hops."{objective.hop}".deadline_s', self.hop(objective.hop).deadline_s),
        ):
            if objective.threshold_s is not None and deadline_s is not None and objective.threshold_s > deadline_s:
                yield (
                    f'slo "{objective.name}".threshold_s = {objective.threshold_s:g} is longer than {name} = {deadline_s:g}, '
                    "which cuts calls before it; lower the first or raise the second"
                )
        ratio = self.false_timeout_ratio(objective.hop)
        if objective.sli == "success" and ratio > objective.budget:
            yield (
                f'slo "{objective.name}".target = {objective.target:g} lets a share of {objective.budget:g} fail, but '
                f"false_timeout_ratio = {ratio:g} lets timers alone cut more than that; lower the second"
            )


def parse_config(text: str, *, name: str = "meshslo.toml") -> Config:
    """The configuration in a TOML text; `name` stands for the file in messages.

    Raises BadConfigError naming the file, line and key: an unknown key with the nearest known one, a value out of range,
    or two settings that contradict each other.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfigError(f"{name} is no TOML: {error}") from None
    try:
        return Config.model_validate(tables)
    except ValidationError as error:
        problems = "; ".join(sentence(problem, text, name, Config) for problem in error.errors(include_url=False))
        raise BadConfigError(problems) from None
