"""Dashboards as files: their shape, what they leave out, and that making them again changes nothing."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from meshslo.analysis.recommend import parse_recommendations
from meshslo.dashboards.grafana import OWN, Generated, all_boards, generate, sources
from meshslo.dashboards.grafana.build import uid_of
from meshslo.dashboards.grafana.names import Names
from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.prometheus.profile import parse_profile
from tests.dashboards.grafana.advice import ADVICE
from tests.dashboards.grafana.promql import queries

GOLDEN = Path(__file__).parent / "golden"
MADE = generate(sources([]), parse_recommendations(ADVICE))
DASHBOARDS = {path: json.loads(text) for path, text in MADE.files.items() if path.endswith(".json")}

register_default_plugins()


def golden_files() -> dict[str, str]:
    """Our own dashboards with lines, one of each other kind of source, and the provisioning files."""
    istio = ("dashboards/istio/security", "dashboards/istio/rollout")
    meshes = (*istio, "dashboards/envoy/resilience", "dashboards/linkerd/streams", "dashboards/clickhouse/chain")
    chosen = ("dashboards/meshslo/", *meshes, "provisioning/")
    return {path: text for path, text in MADE.files.items() if path.startswith(chosen)}


def test_files_are_as_they_were_read_by_a_person() -> None:
    """`MESHSLO_GOLDEN=write` refreshes them; read the diff."""
    files = golden_files()
    if os.environ.get("MESHSLO_GOLDEN") == "write":
        for path, text in files.items():
            (GOLDEN / path).parent.mkdir(parents=True, exist_ok=True)
            (GOLDEN / path).write_text(text)
    assert {str(path.relative_to(GOLDEN)): path.read_text() for path in GOLDEN.rglob("*.*")} == files


def test_made_again_nothing_changes() -> None:
    assert generate(sources([]), parse_recommendations(ADVICE)) == MADE


def test_one_profile_is_made_as_among_all() -> None:
    files = generate(sources(["istio"]), parse_recommendations(ADVICE)).files
    assert files.items() <= MADE.files.items()
    assert {path.split("/")[1] for path in files if path.startswith("dashboards/")} == {"istio"}


def _without_empty(value: Any) -> Any:
    """Grafana's types write an empty `custom` where a panel has none."""
    if isinstance(value, dict):
        return {key: _without_empty(one) for key, one in value.items() if (key, one) != ("custom", {})}
    return [_without_empty(one) for one in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", DASHBOARDS)
def test_grafanas_own_types_read_every_field(path: str) -> None:
    read = json.loads(json.dumps(Dashboard.from_json(DASHBOARDS[path]), cls=JSONEncoder))
    assert _without_empty(read) == DASHBOARDS[path]


def test_identities_are_stable_and_one_each() -> None:
    uids = [dashboard["uid"] for dashboard in DASHBOARDS.values()]
    assert len(set(uids)) == len(uids)
    assert max(map(len, uids)) <= 40
    assert "meshslo-istio-chain" in uids
    assert not any("id" in dashboard for dashboard in DASHBOARDS.values())
    long, other = uid_of("x" * 60, "chain"), uid_of("x" * 60, "hop")
    assert len(long) == len(other) == 40
    assert long != other


@pytest.mark.parametrize("path", DASHBOARDS)
def test_panels_do_not_overlap_and_have_ids(path: str) -> None:
    panels = DASHBOARDS[path]["panels"]
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    taken: set[tuple[int, int]] = set()
    for at in (panel["gridPos"] for panel in panels):
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken
        assert at["x"] + at["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("path", DASHBOARDS)
def test_every_panel_is_shown_or_listed_with_its_reason(path: str) -> None:
    _, profile, name = path.removesuffix(".json").split("/")
    board = next(board for board in all_boards() if board.name == name)
    shown = [panel["title"] for panel in DASHBOARDS[path]["panels"] if panel["type"] != "text"]
    listed = [one.panel for one in MADE.left_out if (one.profile, one.board) == (profile, name)]
    assert sorted([*shown, *listed]) == sorted(panel.title for panel in board.panels)
    told = DASHBOARDS[path]["panels"][-1]["options"]["content"]
    assert all(panel in told for panel in listed)


def test_a_dashboard_that_cannot_be_made_is_listed_whole() -> None:
    listed = {(one.profile, one.board) for one in MADE.left_out}
    boards = {board.name for board in all_boards()}
    for profile in sources([]):
        missing = boards - {path.split("/")[2].removesuffix(".json") for path in DASHBOARDS if f"/{profile.name}/" in path}
        assert {(profile.name, board) for board in missing} <= listed


@pytest.mark.parametrize("path", DASHBOARDS)
def test_beside_each_tail_is_the_share_above_the_top_bucket(path: str) -> None:
    panels = DASHBOARDS[path]["panels"]
    for number, panel in enumerate(panels):
        if any("histogram_quantile(0.9" in target.get("expr", "") and target["range"] for target in panel.get("targets", ())):
            beside = panels[number + 1]
            assert "above the top bucket" in beside["title"]
            assert beside["gridPos"]["y"] == panel["gridPos"]["y"]


@pytest.mark.parametrize("path", DASHBOARDS)
def test_durations_are_in_seconds_and_the_data_source_is_a_variable(path: str) -> None:
    dashboard = DASHBOARDS[path]
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for panel in dashboard["panels"]:
        unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit")
        assert panel["type"] == "text" or panel["datasource"]["uid"] == "${datasource}"
        assert panel["type"] == "heatmap" or unit not in ("ms", "µs")
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel.get("targets", ()))


def test_variables_of_queries_are_variables_of_the_dashboard() -> None:
    for asked in queries(MADE.files):
        names = [variable["name"] for variable in DASHBOARDS[asked.file]["templating"]["list"]]
        for name in ("hop", "caller", "callee", "route", "model", "tenant"):
            assert f'"${name}"' not in asked.expr or name in names, asked


def test_links_lead_to_dashboards_that_exist() -> None:
    for path, dashboard in DASHBOARDS.items():
        profile = path.split("/")[1]
        (link,) = dashboard["links"]
        assert link["tags"] == [f"meshslo-{profile}"]
        assert link["keepTime"]
        assert link["includeVars"]
        assert set(link["tags"]) <= set(dashboard["tags"])


@pytest.mark.parametrize("profile", [source.name for source in sources([])])
def test_a_click_on_a_hop_leads_to_it_alone(profile: str) -> None:
    hop = DASHBOARDS[f"dashboards/{profile}/hop.json"]
    variables = {variable["name"]: variable for variable in hop["templating"]["list"]}
    chain = DASHBOARDS[f"dashboards/{profile}/chain.json"]["panels"]
    told = {"table": "__data.fields.hop", "timeseries": "__field.labels.hop"}
    for panel in chain[:-1]:
        address = f"/d/{hop['uid']}?${{__url_time_range}}&var-hop=${{{told[panel['type']]}}}"
        assert address in json.dumps(panel), panel["title"]
    assert variables["hop"]["multi"]
    panels = [target for panel in hop["panels"] for target in panel.get("targets", ())]
    assert panels
    assert all("hop" in target.get("expr", target.get("rawSql", "")) for target in panels)


def test_lines_are_there_with_recommendations_only() -> None:
    with_lines = {asked.panel for asked in queries(MADE.files) if "vector(45)" in asked.expr}
    assert with_lines == {"p99 of the whole call"}
    assert not [asked for asked in queries(generate([Names(OWN)]).files) if "vector(" in asked.expr]


def test_provisioning_files_are_yaml_that_finds_the_dashboards() -> None:
    (provider,) = yaml.safe_load(MADE.files["provisioning/dashboards/meshslo.yaml"])["providers"]
    assert provider["options"]["foldersFromFilesStructure"] is True
    (source,) = yaml.safe_load(MADE.files["provisioning/datasources/meshslo.yaml"])["datasources"]
    # The name of the label under which the collector's exemplars hold their trace.
    assert source["jsonData"]["exemplarTraceIdDestinations"][0]["name"] == "trace_id"


def users() -> Generated:
    table = {
        "labels": {"caller": ["client"], "callee": ["target"], "tenant": ["customer"]},
        "outcomes": {"status": "code"},
        "histograms": [{"metric": "rpc_time_us", "unit": "us", "phase": "total"}],
    }
    return generate(sources(["billing"], [parse_profile("billing", table)]))


def test_a_profile_of_a_users_own_works_as_well() -> None:
    made = users()
    exprs = [asked.expr for asked in queries(made.files)]
    assert any("0.000001 * histogram_quantile(0.95, " in expr and 'client=~"$caller"' in expr for expr in exprs)
    assert ("billing", "billing has no counter of retries") in {(one.profile, one.reason) for one in made.left_out}


def test_a_name_that_no_profile_has_is_refused() -> None:
    with pytest.raises(BadConfigError, match="no profile called consul; there are"):
        sources(["consul"])
