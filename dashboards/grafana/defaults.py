"""What all panels share: the data source, heights, legends, colours; and how each kind of panel is built."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from grafana_foundation_sdk.builders import common as commons
from grafana_foundation_sdk.builders import dashboard as dashboards
from grafana_foundation_sdk.builders import heatmap as heatmaps
from grafana_foundation_sdk.builders import table as tables
from grafana_foundation_sdk.builders import text as texts
from grafana_foundation_sdk.builders import timeseries
from grafana_foundation_sdk.models import common, dashboard, heatmap
from grafana_foundation_sdk.models.text import TextMode

from .board import Kind, Panel, Query, Role
from .datasources import Asked, Datasource, Override, Shape

HEIGHT: Final = 8
COLUMNS: Final = 24

# Okabe and Ito's palette, which colour-blind people can tell apart; 2008, "Color Universal Design".
_VERMILLION: Final = "#D55E00"
_BLUE: Final = "#0072B2"
_ORANGE: Final = "#E69F00"
_GREY: Final = "#999999"

Built = timeseries.Panel | heatmaps.Panel | tables.Panel


@dataclass(frozen=True)
class Surroundings:
    """What a panel stands in: who is asked, and the address of the hop's dashboard, where hops can be chosen."""

    datasource: Datasource
    hop_link: str | None


def placed(panel: Panel, queries: Sequence[Query], at: dashboard.GridPos, around: Surroundings) -> Built:
    """A panel of these queries at a place."""
    return _BUILDERS[panel.kind](panel, queries, around).grid_pos(at)


def note(title: str, markdown: str, at: dashboard.GridPos) -> texts.Panel:
    """A panel of text."""
    return texts.Panel().title(title).mode(TextMode.MARKDOWN).content(markdown).grid_pos(at)


def _ref(number: int) -> str:
    return chr(ord("A") + number)


def _common(builder: Any, panel: Panel, queries: Sequence[Query], around: Surroundings, shape: Shape) -> Any:
    """What every kind says of a panel. Builders have no common type but `Builder`, so this one is not typed."""
    builder.title(panel.title).description(panel.about).datasource(around.datasource.ref).unit(panel.unit)
    for number, query in enumerate(queries):
        asked = Asked(_ref(number), query.expr, query.legend, shape, query.exemplar)
        builder.with_target(around.datasource.target(asked))
    return builder


def _lines(panel: Panel, queries: Sequence[Query], around: Surroundings) -> timeseries.Panel:
    built: timeseries.Panel = (
        _common(timeseries.Panel(), panel, queries, around, "lines").show_points(common.VisibilityMode.NEVER).line_width(2)
    )
    if not panel.may_fall_below_0:
        built.min(0)
    if panel.limit is not None:
        _draw_limit(built, panel.limit)
    built.color_scheme(dashboards.FieldColor().mode(dashboard.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
    built.legend(
        commons.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )
    built.tooltip(commons.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING))
    if around.hop_link:
        built.data_links([dashboards.DashboardLink("Hop in detail").url(f"{around.hop_link}&var-hop=${{__field.labels.hop}}")])
    for number, query in enumerate(queries):
        if style := [*around.datasource.naming(query.legend), *_STYLES.get(query.role, ())]:
            built.override_by_query(_ref(number), style)
    return built


def _draw_limit(built: timeseries.Panel, limit: float) -> None:
    """A dashed line at a value; nothing else changes its colour there."""
    steps = [dashboard.Threshold(color="transparent"), dashboard.Threshold(color=_VERMILLION, value=limit)]
    built.thresholds(dashboards.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps))
    built.thresholds_style(commons.GraphThresholdsStyleConfig().mode(common.GraphTresholdsStyleMode.DASHED))


def _stacked(panel: Panel, queries: Sequence[Query], around: Surroundings) -> timeseries.Panel:
    built = _lines(panel, queries, around)
    return built.fill_opacity(60).line_width(0).stacking(commons.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))


def _heatmap(panel: Panel, queries: Sequence[Query], around: Surroundings) -> heatmaps.Panel:
    built: heatmaps.Panel = _common(heatmaps.Panel(), panel, queries, around, "heatmap").calculate(False)
    built.color(heatmaps.HeatmapColorOptions().mode(heatmap.HeatmapColorMode.SCHEME).scheme("Viridis").exponent(0.5).steps(64))
    # Edges are labels, so they stay in the unit that the producer counts in; Grafana writes 30000 ms as 30 s.
    unit = queries[0].unit or panel.unit
    built.unit(unit).y_axis(heatmaps.YAxisConfig().unit(unit)).cell_values(heatmaps.CellValues().unit("reqps"))
    return built.show_tooltip().show_legend()


def _table(panel: Panel, queries: Sequence[Query], around: Surroundings) -> tables.Panel:
    built: tables.Panel = _common(tables.Panel(), panel, queries, around, "table").show_header(True)
    names = {f"Value #{_ref(number)}": query.legend for number, query in enumerate(queries)}
    order = {name: index for index, name in enumerate(["hop", "vantage", *names])}
    for query in queries:
        built.override_by_name(query.legend, _cell(query))
    if around.hop_link:
        link = {"title": "Hop in detail", "url": f"{around.hop_link}&var-hop=${{__data.fields.hop}}"}
        built.override_by_name("hop", [Override("links", [link])])
    organized = {"excludeByName": {"Time": True}, "renameByName": names, "indexByName": order}
    built.with_transformation(dashboard.DataTransformerConfig("merge", options={}))
    return built.with_transformation(dashboard.DataTransformerConfig("organize", options=organized))


def _cell(query: Query) -> list[Override]:
    """How a column is written, and from or up to which value its cells are coloured."""
    styles = [Override("unit", query.unit)] if query.unit else []
    told = [(query.warn_above, ("transparent", _VERMILLION)), (query.warn_below, (_VERMILLION, "transparent"))]
    for limit, (below, above) in told:
        if limit is not None:
            steps = [{"color": below, "value": None}, {"color": above, "value": limit}]
            styles.append(Override("thresholds", {"mode": "absolute", "steps": steps}))
            styles.append(Override("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    return styles


def _dashed(colour: str) -> list[Override]:
    return [
        Override("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
        Override("color", {"mode": "fixed", "fixedColor": colour}),
    ]


_STYLES: Final[dict[Role, list[Override]]] = {
    "at_least": [
        Override("custom.drawStyle", "points"),
        Override("custom.showPoints", "always"),
        Override("custom.pointSize", 8),
        Override("color", {"mode": "fixed", "fixedColor": _VERMILLION}),
    ],
    "few": [
        Override("custom.lineStyle", {"fill": "dot", "dash": [0, 10]}),
        Override("custom.lineWidth", 1),
        Override("color", {"mode": "fixed", "fixedColor": _GREY}),
    ],
    "advised": _dashed(_BLUE),
    "now": _dashed(_ORANGE),
}

_BUILDERS: Final[dict[Kind, Callable[[Panel, Sequence[Query], Surroundings], Built]]] = {
    "lines": _lines,
    "stacked": _stacked,
    "heatmap": _heatmap,
    "table": _table,
}
