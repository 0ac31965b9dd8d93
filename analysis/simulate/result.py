"""What a simulation answers with: figures of the chain and of each row, before, after, and by how much they differ."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from meshslo.analysis.answer import Answer

from .estimates import Figure

SCHEMA: Final = "meshslo.simulation/1"


@dataclass(frozen=True)
class Contrast:
    """One quantity: as it was seen, under the policies of now, under those proposed, and the change from the one to the other.

    Without policies of now, `before` is what was seen, with its interval.
    """

    observed: float | None
    before: Figure
    after: Figure
    change: Figure


@dataclass(frozen=True)
class Row:
    """One hop (and route, model, tenant, as asked): its keys, the requests asked of it, its quantities by name."""

    keys: Mapping[str, str | None]
    requests: int
    figures: Mapping[str, Contrast]


@dataclass(frozen=True)
class Simulation(Answer):
    """The whole answer. before_is: "observed" or "current". notes: what the figures rest on and what they leave open."""

    since: datetime
    until: datetime
    calls: int
    requests: int
    before_is: str
    confidence: float
    seed: int
    chain: Mapping[str, Contrast]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plain values that `to_json` writes."""
        window = {"start": self.since.isoformat(), "end": self.until.isoformat()}
        facts = {name: getattr(self, name) for name in ("calls", "requests", "before_is", "confidence", "seed")}
        return {
            "schema": SCHEMA,
            "window": window,
            **facts,
            "chain": {name: asdict(figure) for name, figure in self.chain.items()},
            "rows": [
                {**row.keys, "requests": row.requests, "figures": {name: asdict(f) for name, f in row.figures.items()}}
                for row in self.rows
            ],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """The JSON that `meshslo simulate --output json` prints."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a figure: the keys (null for the chain), quantity, observed, before, after and change with their ends."""
        rows = [*self._flat({}, self.chain), *(flat for row in self.rows for flat in self._flat(row.keys, row.figures))]
        return pl.DataFrame(rows, schema=self._schema())

    def _flat(self, keys: Mapping[str, str | None], figures: Mapping[str, Contrast]) -> Iterator[dict[str, Any]]:
        for name, compared in figures.items():
            flat: dict[str, Any] = {**keys, "quantity": name, "observed": compared.observed}
            for side in ("before", "after", "change"):
                figure: Figure = getattr(compared, side)
                flat |= {side: figure.value, f"{side}_low": figure.low, f"{side}_high": figure.high}
            yield flat

    def _schema(self) -> pl.Schema:
        keys = self.rows[0].keys if self.rows else {}
        numbers = ["observed", *(f"{side}{end}" for side in ("before", "after", "change") for end in ("", "_low", "_high"))]
        return pl.Schema(dict.fromkeys((*keys, "quantity"), pl.String()) | dict.fromkeys(numbers, pl.Float64()))
