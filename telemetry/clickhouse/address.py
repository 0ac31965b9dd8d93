"""Where the spans are: `clickhouse://HOST:PORT/DB?table=otel_traces`, or `chdb:///DIR/DB` for the engine in process."""

import os
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from meshslo.telemetry.errors import BadConfigError

from .sql import identifier

SCHEMES: Final = ("clickhouse://", "chdb://")
_OPTIONS: Final = {"table": "otel_traces", "cells": "", "cluster": "", "secure": "0", "longest_trace_s": "600"}


@dataclass(frozen=True)
class Table:
    """A table of spans; names are checked, so that they may stand in a statement."""

    database: str
    name: str
    cluster: str = ""
    """The cluster whose shards each hold a part of the table."""
    longest_trace_s: float = 600.0
    """How far around a window spans of its traces are looked for."""
    cells: str = ""
    """The table of cells that `meshslo clickhouse-init` keeps current; where it is given, rollups come from it."""

    def __post_init__(self) -> None:
        for name in filter(None, [self.database, self.name, self.cluster, self.cells]):
            identifier(name)

    @property
    def qualified(self) -> str:
        """The table as a statement names it."""
        return self.beside(self.name)

    def beside(self, name: str) -> str:
        """Another table of the same database as a statement names it."""
        return f"{identifier(self.database)}.{identifier(name)}"


@dataclass(frozen=True)
class Address:
    """A table in a server, or in a directory of the engine in process (`host` is empty, `directory` set)."""

    table: Table
    host: str = ""
    port: int = 0
    secure: bool = False
    user: str = "default"
    password: str = field(default="", repr=False)
    directory: str = ""

    @property
    def name(self) -> str:
        """The address as it may be printed."""
        where = f"chdb://{self.directory}" if self.directory else f"clickhouse://{self.host}:{self.port}"
        return f"{where}/{self.table.database}?table={self.table.name}"


def parse_address(url: str) -> Address:
    """The address in `url`; the user and password in it, else `$CLICKHOUSE_USER` and `$CLICKHOUSE_PASSWORD`.

    BadConfigError names what it cannot read.

    >>> parse_address("clickhouse://db:8123/otel?table=spans").table.qualified
    '`otel`.`spans`'
    """
    parts = urlsplit(url)
    options = _options(parts.query)
    directory, _, database = parts.path.rpartition("/")
    longest_trace_s = float(options["longest_trace_s"])
    table = Table(database or "default", options["table"], options["cluster"], longest_trace_s, options["cells"])
    if parts.scheme == "chdb":
        return Address(table, directory=directory or ":memory:")
    if parts.scheme != "clickhouse" or not parts.hostname:
        raise BadConfigError(f"{_safe(url)!r} is no ClickHouse address; write clickhouse://HOST:PORT/DB?table=otel_traces")
    secure = options["secure"] in ("1", "true")
    return Address(
        table,
        host=parts.hostname,
        port=parts.port or (8443 if secure else 8123),
        secure=secure,
        user=unquote(parts.username or os.environ.get("CLICKHOUSE_USER", "default")),
        password=unquote(parts.password or os.environ.get("CLICKHOUSE_PASSWORD", "")),
    )


def _options(query: str) -> dict[str, str]:
    given = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    if unknown := sorted(set(given) - set(_OPTIONS)):
        raise BadConfigError(f"{', '.join(unknown)}: no option of a ClickHouse address; there are {', '.join(_OPTIONS)}")
    options = {**_OPTIONS, **given}
    try:
        sane = float(options["longest_trace_s"]) >= 0
    except ValueError:
        sane = False
    if not sane:
        raise BadConfigError(f"longest_trace_s={options['longest_trace_s']} is no number of seconds; write longest_trace_s=600")
    return options


def _safe(url: str) -> str:
    scheme, found, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if found else url
