"""docs/config.md says what the models of the config say."""

import re
from pathlib import Path

from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.config_page import page, tables
from tests.support.shared import ROOT

PAGE: Path = ROOT / "docs" / "config.md"


def test_the_page_in_docs_is_current() -> None:
    """`make config-docs` writes it."""
    assert PAGE.read_text() == page()


def test_every_table_of_the_config_has_a_section() -> None:
    headers = [table.header for table in tables()]
    assert {name for name in Config.model_fields if any(name in header for header in headers)} == {*Config.model_fields}
    assert {"[objectives]", '[hops."CALLER>CALLEE"]', "[[slo]]", "[[check.ignore]]", "[profiles.NAME]"} <= {*headers}


def test_every_key_says_what_it_means_and_every_number_its_unit() -> None:
    keys = [(table.header, key) for table in tables() for key in table.keys]
    assert not [(header, key.name) for header, key in keys if not key.meaning]
    assert not [(header, key.name) for header, key in keys if "number" in key.kind and not key.unit]


def test_defaults_are_written_as_the_file_takes_them() -> None:
    lines = [
        line
        for table in tables()
        if not re.search(r"[A-Z]|\[\[", table.header)  # tables that there are without a name
        for line in (table.header, *(f"{key.name} = {key.default[1:-1]}" for key in table.keys if key.default[0] == "`"))
    ]
    assert parse_config("\n".join(lines)) == Config()
