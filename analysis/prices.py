"""The config's table on money: what is paid beside the tokens' own price, all in the currency of the models' prices."""

from collections.abc import Mapping
from typing import Annotated, Protocol

import polars as pl
from pydantic import BaseModel, ConfigDict, Field

Money = Annotated[float, Field(ge=0)]

TOKENS_PER_PRICE = 1e6
"""Models' prices are per million tokens."""


class Prices(BaseModel):
    """What calls cost: for leaving a zone, and how much dearer tokens are at one place than at another."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    crossing_per_call: Money | None = None
    """Money for a call that leaves its caller's zone: the price of a GiB, times the bytes of a call and its answer / 2^30."""
    zones: dict[Annotated[str, Field(pattern=r"^[^>]+>[^>]+$")], Money] = {}
    """The same for one pair of zones, as "a>b"."""
    places: dict[str, Money] = {}
    """Cluster or provider -> its tokens' price as a multiple of the model's own; 1 where it is not named."""

    def crossing(self, from_zone: str, to_zone: str) -> float | None:
        """Money for a call between two zones; 0 inside of one, None where nobody said.

        >>> prices = Prices(crossing_per_call=0.1, zones={"a>c": 0.3})
        >>> prices.crossing("a", "a"), prices.crossing("a", "b"), prices.crossing("a", "c"), Prices().crossing("a", "b")
        (0.0, 0.1, 0.3, None)
        """
        if from_zone == to_zone:
            return 0.0
        return self.zones.get(f"{from_zone}>{to_zone}", self.crossing_per_call)


class Priced(Protocol):
    """A model with its prices per million tokens; None where nobody said."""

    @property
    def input_price(self) -> float | None:
        """Of what it reads."""

    @property
    def output_price(self) -> float | None:
        """Of what it writes."""


def token_cost(models: Mapping[str, Priced]) -> pl.Expr:
    """Money for the tokens of each call, by its model; null where its price or its tokens are not known."""
    cost = pl.lit(None, dtype=pl.Float64)
    for name, model in models.items():
        if model.input_price is not None and model.output_price is not None:
            paid = pl.col("input_tokens") * model.input_price + pl.col("output_tokens") * model.output_price
            cost = pl.when(pl.col("model") == name).then(paid / TOKENS_PER_PRICE).otherwise(cost)
    return cost
