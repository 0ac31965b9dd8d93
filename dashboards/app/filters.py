"""What the reader wants to see: a window of time, hops, routes, models, tenants. It lives in the page's address."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, Self

import polars as pl

from meshslo.analysis.rollup import KEYS
from meshslo.dashboards.figures.theme import NOT_SET
from meshslo.dashboards.moments import parse_moment

TIMES: Final = ("since", "until")


@dataclass(frozen=True)
class Filters:
    """Times as typed ("24h", "2026-11-02T09:00Z", "" for an open end); for each key the values to show, all where none."""

    since: str = ""
    until: str = ""
    hop: tuple[str, ...] = ()
    route: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    tenant: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: Mapping[str, Sequence[str]]) -> Self:
        """The filters that an address names.

        >>> Filters.from_query({"since": ["24h"], "model": ["large", "small"]})
        Filters(since='24h', until='', hop=(), route=(), model=('large', 'small'), tenant=())
        """
        since, until = ("".join(query.get(name, ())[:1]) for name in TIMES)
        hop, route, model, tenant = (tuple(query.get(key, ())) for key in KEYS)
        return cls(since, until, hop, route, model, tenant)

    def to_query(self) -> dict[str, str | list[str]]:
        """The inverse of `from_query`; what is not filtered is not in the address."""
        times: dict[str, str | list[str]] = {name: text for name in TIMES if (text := getattr(self, name))}
        return times | {key: list(values) for key in KEYS if (values := getattr(self, key))}

    def window(self, now: datetime) -> tuple[datetime | None, datetime | None]:
        """The moments [since, until); counted back from the minute `now` is in, so that views of one minute are the same.

        Raises BadConfigError for a text that names no time.
        """
        minute = now.astimezone(UTC).replace(second=0, microsecond=0)
        since, until = (parse_moment(text, minute) if text.strip() else None for text in (self.since, self.until))
        return since, until

    def condition(self) -> pl.Expr:
        """What holds of the calls, and of the groups of a rollup, that are to be shown; of time it says nothing."""
        each = [pl.col(key).fill_null(NOT_SET).is_in(list(getattr(self, key))) for key in self.keys()]
        return pl.all_horizontal(each) if each else pl.lit(value=True)

    def keys(self) -> tuple[str, ...]:
        """The keys that are filtered."""
        return tuple(key for key in KEYS if getattr(self, key))

    def with_every_hop(self) -> Self:
        """These, but with all hops."""
        return replace(self, hop=())

    def words(self) -> str:
        """The filters in a sentence's worth of words; empty where there are none."""
        return "; ".join(f"{key} {', '.join(getattr(self, key))}" for key in self.keys())
