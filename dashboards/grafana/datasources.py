"""How Grafana's plugins are asked: the form of a query, of a variable's values, and of a series' name."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.runtime import UnknownDataquery
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat, QueryEditorMode

from meshslo.telemetry.prometheus.profile import Column

Shape = Literal["lines", "heatmap", "table"]
Override = dashboard.DynamicConfigValue


@dataclass(frozen=True)
class Filter:
    """A variable by which a dashboard is narrowed: its name, the column it is of, the label that holds it, in which series.

    computed: the series are an expression, which makes the label of several: Prometheus is asked for the expression's series.
    """

    variable: str
    column: Column | None
    label: str
    series: str
    computed: bool = False


@dataclass(frozen=True)
class Asked:
    """One query of a panel, as its plugin gets it."""

    ref: str
    expr: str
    legend: str
    shape: Shape
    exemplar: bool = False


@dataclass(frozen=True)
class Datasource:
    """A plugin: its type, what its variable is called, how it is asked, also for a variable's values, how a series is named."""

    plugin: str
    label: str
    target: Callable[[Asked], Builder[Any]]
    values: Callable[[Filter], str | dict[str, object]]
    naming: Callable[[str], Sequence[Override]]
    every: str | None = None
    """What stands for All in a query; None where the plugin leaves the condition out."""

    @property
    def ref(self) -> dashboard.DataSourceRef:
        """The data source that a reader chooses."""
        return dashboard.DataSourceRef(type_val=self.plugin, uid="${datasource}")


def _promql(asked: Asked) -> Builder[Any]:
    target = prometheus.Dataquery().datasource(PROMETHEUS.ref).ref_id(asked.ref).editor_mode(QueryEditorMode.CODE)
    target.expr(asked.expr).legend_format(asked.legend)
    if asked.shape == "table":
        return target.instant().format(PromQueryFormat.TABLE)
    ranged = target.range().exemplar(asked.exemplar)
    return ranged.format(PromQueryFormat.HEATMAP) if asked.shape == "heatmap" else ranged


PROMETHEUS: Final = Datasource(
    "prometheus",
    "Prometheus",
    _promql,
    lambda one: {
        "query": f"query_result({one.series})" if one.computed else f"label_values({one.series}, {one.label})",
        "refId": f"variable-{one.variable}",
    },
    lambda _: (),
    # What no series has the label for matches too, so a mesh without tenants still shows all its calls.
    every=".*",
)


class _Sql(Builder[Dataquery]):
    """A query of ClickHouse's plugin, of which the SDK has no types: fields of grafana/clickhouse-datasource 4."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked

    def build(self) -> Dataquery:
        is_table = self._asked.shape == "table"
        # Named as Prometheus' plugin names them, so that tables are put together alike.
        named = f"SELECT * EXCEPT (value), value AS `Value #{self._asked.ref}` FROM (\n{self._asked.expr}\n)"
        return UnknownDataquery(
            {
                "refId": self._asked.ref,
                "datasource": {"type": CLICKHOUSE.plugin, "uid": "${datasource}"},
                "editorType": "sql",
                "pluginVersion": "4.0.0",
                "queryType": "table" if is_table else "timeseries",
                "format": 1 if is_table else 0,
                "rawSql": named if is_table else self._asked.expr,
            }
        )


CLICKHOUSE: Final = Datasource(
    "grafana-clickhouse-datasource",
    "ClickHouse",
    _Sql,
    lambda one: f"SELECT DISTINCT {one.label} FROM {one.series} ORDER BY 1",
    lambda legend: (Override("displayName", re.sub(r"\{\{(\w+)\}\}", r"${__field.labels.\1}", legend)),),
)
