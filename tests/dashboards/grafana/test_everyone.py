"""Every query of every profile's dashboards returns data, on a real Prometheus with series as the profile says they are."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from meshslo.analysis.recommend import parse_recommendations
from meshslo.dashboards.grafana import generate, sources
from meshslo.dashboards.grafana.expressions import Expressions
from meshslo.dashboards.rules.document import producers
from meshslo.telemetry.prometheus.profiles import chosen
from tests.dashboards.grafana.advice import ADVICE
from tests.dashboards.grafana.everyone import history
from tests.dashboards.grafana.promql import Asked, ask, filled, queries, values
from tests.dashboards.grafana.test_queries import recorded_history
from tests.support.prometheus import with_history

pytestmark = pytest.mark.system

NOW_S = 1_762_000_000
TIMES = range(NOW_S - 600, NOW_S + 1, 15)


@dataclass(frozen=True)
class Running:
    """A Prometheus with a profile's series, the profile's expressions, and the queries of its dashboards."""

    url: str
    names: Expressions
    queries: list[Asked]

    def hops(self, expr: str, **variables: str) -> dict[str, float]:
        """Values by hop."""
        return values(self.url, filled(expr, **variables), NOW_S, "hop")


@pytest.fixture(scope="module", params=[profile.name for profile in chosen([])])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    (profile,) = chosen([request.param])
    (names,) = sources([profile.name])
    text = history(profile, TIMES)
    if profile.name in {producer.name for producer in producers()}:
        text += recorded_history(profile.name)
    with with_history(tmp_path_factory.mktemp(profile.name), text) as url:
        hop = next(hop for hop in Running(url, names, []).hops(names.calls()) if hop.endswith(">generator"))
        advice = parse_recommendations(ADVICE.replace("gateway>generator", hop))
        yield Running(url, names, list(queries(generate([names], advice).files)))


def test_every_query_returns_data(running: Running) -> None:
    empty = [str(asked) for asked in running.queries if not ask(running.url, filled(asked.expr), NOW_S)]
    assert running.queries
    assert empty == []


def test_a_hop_is_chosen_by_the_words_that_panels_show(running: Running) -> None:
    (variable,) = (one for one in running.names.filters if one.variable == "hop")
    every = running.hops(running.names.calls())
    assert running.hops(variable.series).keys() == every.keys()
    assert len(every) > 1
    for hop, rate in every.items():
        assert running.hops(running.names.calls(), hop=hop) == {hop: rate}
    assert running.hops(running.names.calls(), hop=f"({'|'.join(every)})") == every


def test_a_hop_that_is_not_there_empties_every_panel(running: Running) -> None:
    full = [str(asked) for asked in running.queries if ask(running.url, filled(asked.expr, hop="nobody>nothing"), NOW_S)]
    assert full == []
