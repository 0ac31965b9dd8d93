"""Addresses of tables in ClickHouse: what is read, and what is refused before a statement is made of it."""

import pytest

from meshslo.telemetry.clickhouse.address import Address, Table, parse_address
from meshslo.telemetry.clickhouse.sql import Step, Steps, each, first_set, identifier, literal
from meshslo.telemetry.errors import BadConfigError


def test_every_part_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLICKHOUSE_PASSWORD", "geheim")
    table = Table("otel", "spans", "prod", 60.0)
    assert parse_address("clickhouse://anna@db:9000/otel?table=spans&cluster=prod&longest_trace_s=60&secure=1") == Address(
        table, "db", 9000, True, "anna", "geheim"
    )


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLICKHOUSE_USER", raising=False)
    address = parse_address("clickhouse://db")
    assert (address.port, address.table.qualified, address.user) == (8123, "`default`.`otel_traces`", "default")
    assert parse_address("clickhouse://db?secure=1").port == 8443


def test_the_engine_in_process() -> None:
    assert parse_address("chdb:///var/lib/spans/otel").directory == "/var/lib/spans"
    assert parse_address("chdb:///default").directory == ":memory:"


def test_the_password_is_never_printed() -> None:
    address = parse_address("clickhouse://anna:geheim@db/otel")
    assert address.password == "geheim"
    assert "geheim" not in address.name + repr(address)
    with pytest.raises(BadConfigError) as caught:
        parse_address("clickhause://anna:geheim@db/otel")
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://db/otel?table=spans;DROP TABLE spans",
        "clickhouse://db/otel?table=a.b",
        "clickhouse://db/o`tel",
        "clickhouse://db/otel?cluster=a'b",
    ],
)
def test_what_is_no_name_gets_into_no_statement(url: str) -> None:
    with pytest.raises(BadConfigError, match="is no name of a database, table or cluster"):
        parse_address(url)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("clickhouse://db/otel?tabel=spans", "tabel: no option of a ClickHouse address; there are table"),
        ("clickhouse://db/otel?longest_trace_s=long", "is no number of seconds"),
        ("clickhouse:///otel", "is no ClickHouse address; write clickhouse://HOST:PORT/DB"),
    ],
)
def test_an_address_that_cannot_be_read(url: str, sentence: str) -> None:
    with pytest.raises(BadConfigError, match=sentence):
        parse_address(url)


def test_literals_and_identifiers_are_quoted() -> None:
    assert literal("a'b\\") == r"'a\'b\\'"
    assert identifier("otel_traces") == "`otel_traces`"
    assert first_set("a", "b", "c") == "if(a != '', a, if(b != '', b, c))"


def test_a_step_hands_on_only_what_is_needed() -> None:
    steps = Steps((Step({"a": "x", "b": "y", "unused": "z"}, "FROM t", whole=True),))
    steps = steps.extended({"c": each("_a + 1"), "d": "c", "unused_too": "b"}).then({"d": "d", "b": "b"})
    assert steps.sql() == (
        "WITH step_1 AS (SELECT x AS a, y AS b FROM t),\n"
        "step_2 AS (SELECT b, arrayMap((_a) -> _a + 1, a) AS c FROM step_1),\n"
        "step_3 AS (SELECT b, c AS d FROM step_2)\n"
        "SELECT d, b FROM step_3"
    )
