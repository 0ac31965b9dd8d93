"""A connection to ClickHouse, or to its engine in process: statements with bound parameters in, frames out."""

import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from meshslo.telemetry.errors import SourceError, StoreError

from .address import Address

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

OLDEST: Final = (23, 10)
"""The first release that has `arrayFold`."""

# The statements are long chains of simple steps: the depth of subqueries is no sign of a mistake, and merging the steps into
# one expression takes longer than running them. So does looking for comparisons that follow from others: each column that
# is compared is hashed with the whole chain that it comes from.
SETTINGS: Final[Mapping[str, Any]] = {
    "max_subquery_depth": 1000,
    "query_plan_merge_expressions": 0,
    "optimize_and_compare_chain": 0,
}


class Connection:
    """Runs statements; every failure is one sentence that names the server."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._client = _connect(address)
        _check_version(address, self._client.server_version)
        # A server that does not know one of them does not do what it turns off either.
        self._settings = {name: value for name, value in SETTINGS.items() if name in self._client.server_settings}

    def frame(self, statement: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """The rows that `statement` gives, dictionaries as plain strings."""
        try:
            table = self._client.query_arrow(statement, parameters=dict(parameters or {}), settings=self._settings)
        except Exception as error:  # the driver's and its transport's errors have no common base
            raise _explained(self.address, error) from error
        frame = pl.DataFrame(table)
        return frame.with_columns(pl.col(pl.Categorical, pl.Binary).cast(pl.String))

    def run(self, statement: str) -> None:
        """Carry out a statement that gives nothing."""
        try:
            self._client.command(statement, settings=self._settings)
        except Exception as error:  # as above
            raise _explained(self.address, error) from error

    @property
    def client(self) -> "Client":
        """The driver's client."""
        return self._client


def _connect(address: Address) -> "Client":
    try:
        import clickhouse_connect
    except ModuleNotFoundError as error:
        raise StoreError(f"{address.name} needs the ClickHouse client: pip install 'meshslo[clickhouse]'") from error
    # Its own word on a failure, which is told here in one sentence; not for standard error, where nobody listens to loggers.
    logging.getLogger("clickhouse_connect").addHandler(logging.NullHandler())
    try:
        if address.directory:
            return clickhouse_connect.get_client(interface="chdb", path=address.directory, database=address.table.database)
        return clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
            secure=address.secure,
            database=address.table.database,
        )
    except Exception as error:  # the driver's and its transport's errors have no common base
        raise _explained(address, error) from error


def _check_version(address: Address, version: str | None) -> None:
    """SourceError where the server is older than `OLDEST`."""
    known = re.match(r"(\d+)\.(\d+)", version or "")
    if known and (int(known[1]), int(known[2])) < OLDEST:
        least = ".".join(map(str, OLDEST))
        raise SourceError(f"{address.name} is ClickHouse {version}; {least} or newer is needed, which has arrayFold")


def _explained(address: Address, error: Exception) -> SourceError:
    """One sentence: the server's own first line, and what to do where we know it."""
    text = str(error).strip()
    # What follows is the statement, of which there may be pages.
    said = (text.splitlines() or [""])[0].partition(" In scope ")[0][:300]
    if "UNKNOWN_TABLE" in text or "UNKNOWN_DATABASE" in text:
        return SourceError(f"{address.name}: no such table ({said}); name it with ?table=..., the database before it")
    if "AUTHENTICATION_FAILED" in text or "REQUIRED_PASSWORD" in text:
        return SourceError(f"{address.name}: not let in; set $CLICKHOUSE_USER and $CLICKHOUSE_PASSWORD")
    if "UNKNOWN_IDENTIFIER" in text or "ILLEGAL_TYPE_OF_ARGUMENT" in text or "TYPE_MISMATCH" in text:
        return SourceError(f"{address.name}: not the columns of the Collector's otel_traces with Map attributes ({said})")
    if "MEMORY_LIMIT_EXCEEDED" in text:
        return SourceError(
            f"{address.name}: out of memory ({said}); ask for a shorter window, or set up meshslo clickhouse-init"
        )
    if "Connection refused" in text or "Max retries" in text or "NewConnectionError" in text:
        return SourceError(
            f"{address.name}: connection refused or unreachable; is the server running, and is the port its HTTP port?"
        )
    return SourceError(f"{address.name}: {said or type(error).__name__}")
