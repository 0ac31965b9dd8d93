"""What a profile says: which metrics a producer exports, in which unit, and which of its labels mean what.

Profiles are data. The built-in ones are tables in `profiles/`; a user's own is a table `[profiles.NAME]` of the same keys.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store.metrics import Measure
from meshslo.telemetry.vocabulary import Outcome, Phase

Unit = Literal["s", "ms", "us"]
SECONDS: Final[Mapping[Unit, float]] = {"s": 1.0, "ms": 1e-3, "us": 1e-6}

Column = Literal[
    "reporter",
    "caller",
    "callee",
    "namespace",
    "cluster",
    "version",
    "caller_identity",
    "callee_identity",
    "mtls",
    "protocol",
    "route",
    "model",
    "provider",
    "tenant",
    "operation",
    "status_code",
    "response_flags",
]
"""Columns of a metric series that labels fill."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Label(_Table):
    """A label whose value is not taken as it is."""

    label: str
    pattern: str | None = None
    """The value is this expression's first group; a value that does not match counts as absent."""
    values: Mapping[str, str] | None = None
    """What each value means; one that is not listed counts as absent."""


Labels = Mapping[Column, tuple[str | Label, ...]]
"""Column -> the labels that may hold it, the best first."""


class Outcomes(_Table):
    """How labels say that a call ended: words first, then what is present, then response flags, then gRPC and HTTP status."""

    words: Mapping[str, Mapping[str, Outcome]] = {}
    """Label -> its values -> what they mean."""
    present: Mapping[str, Outcome] = {}
    """Label -> what it means that it has any other value, such as error.type."""
    flags: str | None = None
    status: str | None = None
    grpc: str | None = None
    otherwise: Outcome | None = None
    """Where none of them speaks."""


class Metric(_Table):
    """What histograms and counters have in common."""

    metric: Annotated[str, Field(min_length=1)]
    """Name without `_bucket`, `_count`, `_sum`; a counter's with its `_total`."""
    also: tuple[str, ...] = ()
    """Other names of the same metric."""
    match: str = ""
    """PromQL matchers that choose among its series."""
    labels: Labels = {}
    """Overrides the profile's, column by column."""
    fixed: Mapping[Column, str] = {}
    """Columns that are the same for all its series."""
    outcomes: Outcomes | None = None
    """Overrides the profile's."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name it may have."""
        return (self.metric, *self.also)


class Histogram(Metric):
    """Durations of one phase."""

    unit: Unit
    phase: Phase
    edges: tuple[float, ...] = ()
    """Bucket edges, in `unit`, that the producer exports unless told otherwise; what is pulled has its own edges."""


class Counter(Metric):
    """Calls by how they ended, or events that calls met."""

    measure: Measure = "calls"


class Profile(_Table):
    """The metrics of one producer."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_-]+$")]
    about: str = ""
    labels: Labels = {}
    outcomes: Outcomes = Outcomes()
    histograms: tuple[Histogram, ...] = ()
    """Where several hold the same phase of the same hop, the first is reported."""
    counters: tuple[Counter, ...] = ()
    notes: tuple[str, ...] = ()
    """What its figures cannot say, as sentences for the user."""

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        if not self.histograms and not self.counters:
            raise ValueError("a profile needs a histogram or a counter")
        for metric in (*self.histograms, *self.counters):
            if not metric.labels.get("callee", self.labels.get("callee")) and "callee" not in metric.fixed:
                raise ValueError(f'{metric.metric} has no callee: name its label with labels.callee = ["..."]')
        for label in _labels(self):
            if label.pattern is not None and re.compile(label.pattern).groups < 1:
                raise ValueError(f"pattern {label.pattern!r} of label {label.label} has no group to take the value from")
        return self

    def labels_of(self, metric: Metric) -> Labels:
        """The labels that hold the columns of `metric`."""
        return {**self.labels, **metric.labels}

    def outcomes_of(self, metric: Metric) -> Outcomes:
        """How the labels of `metric` say that calls ended."""
        return metric.outcomes or self.outcomes


def _labels(profile: Profile) -> list[Label]:
    tables = [profile.labels, *(metric.labels for metric in (*profile.histograms, *profile.counters))]
    return [label for table in tables for labels in table.values() for label in labels if isinstance(label, Label)]


def parse_profile(name: str, table: Mapping[str, Any], *, where: str | None = None) -> Profile:
    """A user's profile from a table of its keys; `where` is the file it stands in.

    Raises BadConfigError naming the key: unknown, of the wrong kind, or missing.
    """
    try:
        return Profile.model_validate({"name": name, **table})
    except ValidationError as error:
        problems = "; ".join(
            f"profiles.{name}{''.join(f'.{part}' for part in problem['loc'])}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        )
        raise BadConfigError(f"{where}: {problems}" if where else problems) from None
