"""Who logs in sees their tenants and no other: on no page, by no address, in no download."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from streamlit.testing.v1 import AppTest

from meshslo.analysis import from_calls
from meshslo.dashboards.app.answers import Asked
from meshslo.dashboards.app.chain import along
from meshslo.dashboards.app.download import policies
from meshslo.dashboards.app.filters import Filters
from meshslo.dashboards.app.shell import pages
from meshslo.dashboards.app.start import Start
from meshslo.dashboards.app.view import View
from meshslo.dashboards.frames import quantile_table
from meshslo.telemetry.errors import StoreError
from tests.support.dashboard import filled
from tests.support.pages import everything, ran, show
from tests.support.scenes import chain_calls

PATHS = [page.path for page in pages()]
CONFIG = """
[dashboard]
login = "default"

[dashboard.users]
"ana@acme.example" = ["acme"]

[dashboard.groups]
sre = ["*"]

[[slo]]
name = "everybody"
hop = "ingress>gateway"
sli = "success"
target = 0.9
window = "1d"

[[slo]]
name = "zebra-promise"
hop = "ingress>gateway"
tenant = "zebra"
sli = "success"
target = 0.9
window = "1d"
"""
ANA = {"email": "ana@acme.example", "email_verified": True, "sub": "1"}
SRE = {"sub": "2", "name": "Sam", "groups": ["sre"]}
SECRETS = ("zebra", "birch")
"""What only others' calls hold: their names are parts of their routes and models too."""


@pytest.fixture(scope="module")
def calls() -> pl.DataFrame:
    tenant = pl.Series("tenant", [("acme", "zebra", "birch", None)[number // 4 % 4] for number in range(1600)])
    other = pl.col("tenant").is_in(list(SECRETS))
    version = pl.Series("version", [("v1", "v2")[number // 16 % 2] for number in range(1600)])
    ours = chain_calls(400, cap_s=6.0).with_columns(tenant, version)
    return ours.with_columns(
        pl.when(other).then(pl.col(name) + "-" + pl.col("tenant")).otherwise(name).alias(name) for name in ("route", "model")
    )


@pytest.fixture(scope="module")
def start(calls: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Start:
    folder = tmp_path_factory.mktemp("access")
    (folder / "meshslo.toml").write_text(CONFIG)
    return Start(str(filled(folder / "store", calls)), str(folder / "meshslo.toml"), login=True)


def secrets_in(app: AppTest) -> list[str]:
    said = everything(app)
    return [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("path", PATHS)
def test_a_page_shows_no_other_tenant(start: Start, path: str) -> None:
    assert secrets_in(show(start, path, user=SRE)) == list(SECRETS) or path == "data-quality"
    app = show(start, path, user=ANA)
    assert app.dataframe or app.get("plotly_chart")
    assert secrets_in(app) == []


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        {"tenant": "zebra", "model": "large-zebra"},
        {"tenant": ["acme", "zebra"], "by": "tenant", "compare": "model", "replay": "true", "slo_each": "Tenant"},
    ],
    ids=str,
)
def test_no_address_leads_to_another_tenant(start: Start, path: str, query: dict[str, Any]) -> None:
    asked = str(query)
    said = everything(show(start, path, user=ANA, **query))
    # What was typed into the address is echoed; what belongs to it is not.
    assert "birch" not in said
    assert "zebra" not in said.replace("large-zebra", "") or "zebra" in asked
    assert "small-zebra" not in said
    assert "zebra-promise" not in said


def test_the_numbers_are_those_of_a_store_that_holds_nothing_else(start: Start, calls: pl.DataFrame) -> None:
    for user, theirs in ((ANA, calls.filter(pl.col("tenant") == "acme")), (SRE, calls)):
        report = from_calls(theirs).report(by=["hop"], quantiles=(0.5, 0.95, 0.99))
        shown = show(start, user=user).dataframe[0].value
        assert shown.to_dict("records") == quantile_table(along(report.frame), ["hop"]).to_dicts()


def test_what_one_reader_was_answered_is_not_kept_for_another(start: Start) -> None:
    seen = [show(start, user=user).dataframe[0].value["calls"].sum() for user in (SRE, ANA, SRE, ANA)]
    assert seen[0] == seen[2] > seen[1] == seen[3]


def test_policies_are_for_who_sees_every_tenant(start: Start) -> None:
    assert show(start, "recommendations", user=SRE, mesh="istio").get("download_button")
    app = show(start, "recommendations", user=ANA, mesh="istio")
    assert not app.get("download_button")
    assert any("hold for all tenants" in each.value for each in app.caption)
    with pytest.raises(StoreError, match="hold for all tenants"):
        policies(View(Asked(start, "", tenants=("acme",)), Filters()), "istio")


@pytest.mark.parametrize("path", ["chain", "recommendations"])
@pytest.mark.parametrize(
    ("user", "words"),
    [
        (None, "Log in to see this dashboard"),
        ({"is_logged_in": False, **ANA}, "Log in to see this dashboard"),
        ({"email": "ana@acme.example", "sub": "9"}, "your subject 9, since the provider has verified no address"),
        ({"sub": "3", "email": "eve@example.com", "email_verified": True}, "No tenant is open to eve@example.com"),
    ],
)
def test_who_is_not_let_in_sees_a_door(start: Start, path: str, user: dict[str, Any] | None, words: str) -> None:
    app = show(start, path, user=user)
    assert words in app.info[0].value
    assert not app.dataframe
    assert not app.get("plotly_chart")
    assert not app.multiselect
    assert "store" not in everything(app)


def test_who_is_let_in_is_told_as_whom(start: Start) -> None:
    assert "ana@acme.example: acme" in [each.value for each in show(start, user=ANA).caption]
    assert "Sam: all tenants" in [each.value for each in show(start, user=SRE).caption]


def test_a_right_that_is_taken_away_ends_at_the_next_look(start: Start, tmp_path: Path) -> None:
    config = tmp_path / "meshslo.toml"
    config.write_text(CONFIG)
    app = show(Start(start.store, str(config), login=True), user=ANA)
    assert app.dataframe
    config.write_text(CONFIG.replace('["acme"]', "[]"))
    assert "No tenant is open" in ran(app.run()).info[0].value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[dashboard]\nlogin = "default"\n[dashboard.users]\n"ana@acme.example" = 7', "config cannot be read"),
        ("", "Dashboard.login has left the config"),
    ],
)
def test_a_config_that_went_wrong_opens_no_door(start: Start, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "meshslo.toml").write_text(text)
    app = show(Start(start.store, str(tmp_path / "meshslo.toml"), login=True), user=ANA)
    assert words in app.info[0].value
    assert "acme" not in "".join(each.value for each in app.info)
    assert not app.dataframe
