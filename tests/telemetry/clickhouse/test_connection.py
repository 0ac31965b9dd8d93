"""A server that cannot be used is one sentence."""

import subprocess
import sys
from unittest.mock import Mock

import pytest

from meshslo.telemetry.clickhouse import open_clickhouse
from meshslo.telemetry.errors import SourceError
from tests.support.answers import Reply, answering
from tests.support.net import free_port


def test_nobody_listens() -> None:
    port = free_port()
    with pytest.raises(SourceError, match=f"clickhouse://127.0.0.1:{port}/default.*: connection refused or unreachable"):
        open_clickhouse(f"clickhouse://127.0.0.1:{port}/default")


@pytest.mark.slow
def test_the_driver_prints_nothing_of_its_own() -> None:
    url = f"clickhouse://127.0.0.1:{free_port()}/default"
    program = f"from meshslo.telemetry.clickhouse import open_clickhouse as o\ntry: o({url!r})\nexcept Exception as e: print(e)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout.count("\n"), done.stderr) == (1, "")


def test_something_else_listens() -> None:
    with answering(lambda _: Reply(b"<html>hello", 404, "text/html")) as running:
        address = running.url.replace("http://", "clickhouse://")
        with pytest.raises(SourceError, match=f"{address}/default"):
            open_clickhouse(f"{address}/default")


def test_an_old_server_is_told_which_release_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Mock(server_version="23.8.16.16", server_settings={})
    monkeypatch.setattr("clickhouse_connect.get_client", lambda **_: client)
    with pytest.raises(SourceError, match=r"db:8123.* is ClickHouse 23\.8\.16\.16; 23\.10 or newer is needed"):
        open_clickhouse("clickhouse://db/otel")
    client.server_version = "23.10.1"
    assert open_clickhouse("clickhouse://db/otel").connection.client is client
