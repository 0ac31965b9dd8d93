"""Files by which a Grafana finds the dashboards and its Prometheus when it starts; addresses come from its environment."""

from collections.abc import Iterable
from typing import Final

DASHBOARDS: Final = """\
# Copy to /etc/grafana/provisioning/dashboards/, and the folder `dashboards` to $MESHSLO_DASHBOARDS.
apiVersion: 1
providers:
  - name: meshslo
    type: file
    # A dashboard's uid is stable: what is generated again takes the place of what was there.
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: $MESHSLO_DASHBOARDS
      foldersFromFilesStructure: true
"""

DATASOURCES: Final = """\
# Copy to /etc/grafana/provisioning/datasources/, unless Grafana has a Prometheus already: then add only
# `exemplarTraceIdDestinations` to it, so that a click on an exemplar leads to its trace.
apiVersion: 1
datasources:
  - name: Prometheus
    type: prometheus
    uid: meshslo-prometheus
    access: proxy
    url: $PROMETHEUS_URL
    jsonData:
      httpMethod: POST
      # As often as Prometheus scrapes; $__rate_interval is four times this.
      timeInterval: 30s
      exemplarTraceIdDestinations:
        - name: trace_id
          datasourceUid: $TRACES_UID
"""

CLICKHOUSE: Final = """\
# Copy to /etc/grafana/provisioning/datasources/, unless Grafana has this ClickHouse already. Needs the plugin
# grafana-clickhouse-datasource, version 4, and a user that may read the table of cells (`meshslo clickhouse-init`).
apiVersion: 1
datasources:
  - name: ClickHouse
    type: grafana-clickhouse-datasource
    uid: meshslo-clickhouse
    jsonData:
      host: $CLICKHOUSE_HOST
      port: 9000
      username: $CLICKHOUSE_USER
      defaultDatabase: $CLICKHOUSE_DATABASE
    secureJsonData:
      password: $CLICKHOUSE_PASSWORD
"""

_DATASOURCES: Final = {"prometheus": ("meshslo", DATASOURCES), "grafana-clickhouse-datasource": ("clickhouse", CLICKHOUSE)}


def provisioning(plugins: Iterable[str]) -> dict[str, str]:
    """Path below the output folder -> text, for dashboards that ask these plugins."""
    named = [_DATASOURCES[plugin] for plugin in dict.fromkeys(plugins)]
    sources = {f"provisioning/datasources/{name}.yaml": text for name, text in named}
    return {"provisioning/dashboards/meshslo.yaml": DASHBOARDS, **sources}
