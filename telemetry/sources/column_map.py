"""How the columns of somebody's log become those of a call: renamed, converted in unit, left out, or given as a constant."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.schema import COLUMNS

SECONDS_PER: Final[Mapping[str, float]] = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0}
"""Units that a column of seconds may come in, by the suffix of its name or after a colon in the map."""
_OTHER_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("timestamp", "time", "ts", "start_time", "started_at", "begin", "date", "when"), "start"),
    **dict.fromkeys(("latency", "duration", "elapsed", "total", "response_time", "e2e_latency"), "duration_s"),
    **dict.fromkeys(("ttft", "time_to_first_token", "first_token", "first_token_latency"), "first_token_s"),
    **dict.fromkeys(("ttfb", "first_byte"), "first_byte_s"),
    **dict.fromkeys(("service", "svc", "destination", "server", "upstream", "target"), "callee"),
    **dict.fromkeys(("client", "source", "from"), "caller"),
    **dict.fromkeys(("path", "url", "endpoint"), "route"),
    **dict.fromkeys(("status", "code", "http_status", "response_code"), "status_code"),
    **dict.fromkeys(("user", "customer", "account", "org", "tenant_id"), "tenant"),
    **dict.fromkeys(("model_name", "model_id"), "model"),
    **dict.fromkeys(("prompt_tokens", "tokens_in"), "input_tokens"),
    **dict.fromkeys(("completion_tokens", "tokens_out", "generated_tokens"), "output_tokens"),
    **dict.fromkeys(("result", "state"), "outcome"),
    **dict.fromkeys(("flags", "envoy_flags"), "response_flags"),
}
"""What logs call the columns of a call."""
SECONDS_COLUMNS: Final = frozenset(name for name in COLUMNS if name.endswith("_s"))


@dataclass(frozen=True)
class Target:
    """The column of a call that a file's column becomes, and what its values are multiplied with."""

    column: str
    factor: float = 1.0


@dataclass(frozen=True)
class ColumnMap:
    """File column -> target (None: left out), and call columns that are one value throughout."""

    renamed: Mapping[str, Target | None] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, maps: Iterable[str] = (), constants: Iterable[str] = ()) -> "ColumnMap":
        """The map that `FILE_COLUMN=NAME[:UNIT]` (or `FILE_COLUMN->NAME`) and `NAME=VALUE` texts state.

        A unit is taken from the colon, else from the file column's suffix (`latency_ms`); an empty NAME leaves the column out.
        Raises BadConfigError for a text that reads otherwise or names no column of a call.

        >>> ColumnMap.parse(["latency_ms->duration_s"]).renamed["latency_ms"]
        Target(column='duration_s', factor=0.001)
        """
        renamed = dict(_parse_map(text) for text in maps)
        fixed = dict(_parse_constant(text) for text in constants)
        return cls(renamed, fixed)

    def target(self, column: str) -> Target | None:
        """What a file's column becomes; None for one that is left out. KeyError for one that nobody knows."""
        if column in self.renamed:
            return self.renamed[column]
        if column in COLUMNS:
            return Target(column)
        raise KeyError(column)


def nearest_column(name: str) -> str | None:
    """The column of a call that `name` is likely meant as: one of its other names, or a misspelling; None where none is near.

    >>> nearest_column("latency_ms"), nearest_column("modle"), nearest_column("colour")
    ('duration_s', 'model', None)
    """
    plain = name.lower().replace("-", "_").replace(".", "_").replace(" ", "_")
    base, _, unit = plain.rpartition("_")
    known = _OTHER_NAMES.get(plain) or (_OTHER_NAMES.get(base) if unit in SECONDS_PER else None)
    near = difflib.get_close_matches(plain, COLUMNS, n=1, cutoff=0.75)
    return known or (near[0] if near else None)


def _parse_map(text: str) -> tuple[str, Target | None]:
    separator = "->" if "->" in text else "="
    column, found, target = (part.strip() for part in text.partition(separator))
    if not found or not column:
        raise BadConfigError(f"--map {text!r} is not FILE_COLUMN=NAME, such as latency_ms=duration_s")
    if not target:
        return column, None
    name, _, unit = target.partition(":")
    _check(name, text)
    return column, Target(name, _factor(column, name, unit, text))


def _factor(column: str, name: str, unit: str, text: str) -> float:
    """Seconds in one unit of the file's column; 1 for columns that are no seconds."""
    if name not in SECONDS_COLUMNS:
        if unit:
            raise BadConfigError(
                f"--map {text!r}: {name} has no unit; only columns in seconds have: {_listed(SECONDS_COLUMNS)}"
            )
        return 1.0
    if unit and unit not in SECONDS_PER:
        raise BadConfigError(f"--map {text!r}: {unit!r} is no unit; use one of {', '.join(SECONDS_PER)}")
    return SECONDS_PER.get(unit or column.rsplit("_", 1)[-1], 1.0)


def _parse_constant(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not found:
        raise BadConfigError(f"--set {text!r} is not NAME=VALUE, such as vantage=server")
    _check(name.strip(), text)
    return name.strip(), value.strip()


def _check(name: str, text: str) -> None:
    if name not in COLUMNS:
        meant = nearest_column(name)
        hint = f"is {meant} meant?" if meant else f"allowed are {_listed(COLUMNS)}"
        raise BadConfigError(f"{text!r}: {name!r} is no column of a call; {hint}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
