"""A store of some tenants: each verb answers as if the others' calls were not there."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from meshslo.analysis import from_calls, open_store
from meshslo.analysis.api import CallStore
from meshslo.analysis.config import Limits, parse_config
from meshslo.analysis.directory import open_directory
from meshslo.analysis.doctor import examine
from meshslo.analysis.tenants import of_tenants
from meshslo.telemetry import store as files
from meshslo.telemetry.errors import BadInputError, StoreError
from meshslo.telemetry.store.metrics import MetricStore
from tests.support.calls import EPOCH, make_call, make_calls
from tests.support.dashboard import filled
from tests.support.scenes import chain_calls
from tests.support.series import make_histogram, make_series

CONFIG = parse_config('[[slo]]\nname = "works"\nhop = "ingress>gateway"\nsli = "success"\ntarget = 0.9\nwindow = "1d"\n')
TENANTS = ("acme", "birch")


@pytest.fixture(scope="module")
def calls() -> pl.DataFrame:
    names = pl.Series("tenant", [(*TENANTS, "zebra", None)[number // 4 % 4] for number in range(1200)])
    return chain_calls(300, cap_s=6.0).with_columns(names)


@pytest.fixture(scope="module", params=["from calls", "folded"])
def stored(calls: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> CallStore:
    store = open_directory(filled(tmp_path_factory.mktemp("tenants") / "store", calls), Limits(), create=False)
    if request.param == "folded":
        assert store.fold(EPOCH + timedelta(days=60))
    return store


VERBS: dict[str, Callable[[CallStore], Any]] = {
    "report": lambda store: store.report(by=["hop", "tenant"]).frame.to_dicts(),
    "report without tenants": lambda store: store.report(by=["hop", "model"], phase="first_token").frame.to_dicts(),
    "rollup in time": lambda store: store.rollup(bucket="1h", extremes=True).cells.to_dicts(),
    "rollup without keys": lambda store: store.rollup(by=["hop"], bucket=None).cells.to_dicts(),
    "recommend": lambda store: store.recommend().items,
    "backtest": lambda store: store.backtest().to_json(),
    "slo": lambda store: store.slo(CONFIG).standings,
    "slo of each": lambda store: store.slo(CONFIG, each=["tenant"]).standings,
    "doctor": lambda store: examine(store.scan(None, None), store.rollup(by=("hop",), bucket=None)).findings,
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("tenants", [TENANTS, ("zebra",)])
def test_every_verb_answers_as_if_nothing_else_were_there(
    stored: CallStore, calls: pl.DataFrame, verb: str, tenants: tuple[str, ...]
) -> None:
    alone = from_calls(calls.filter(pl.col("tenant").is_in(tenants)))
    assert VERBS[verb](of_tenants(stored, tenants)) == VERBS[verb](alone)


def test_metrics_are_of_these_tenants_too(tmp_path: Path) -> None:
    layout = files.open_store(filled(tmp_path / "store")).layout
    series = pl.concat([make_series(make_histogram([0.1, 1.0], [500.0, 20.0], tenant=tenant)) for tenant in ("acme", "zebra")])
    MetricStore(layout).append(series, since=EPOCH, until=EPOCH + timedelta(minutes=1))
    store = of_tenants(open_store(tmp_path / "store"), ["acme"])
    assert store.report(by=["tenant"]).frame["tenant"].unique().to_list() == ["acme"]


def test_without_tenants_there_is_nothing(stored: CallStore) -> None:
    with pytest.raises(StoreError, match="holds no calls"):
        of_tenants(stored, []).report()


def test_the_window_of_others_is_not_told() -> None:
    calls = from_calls(make_calls([make_call(tenant="acme"), make_call(at_s=86400, tenant="zebra")]))
    report = of_tenants(calls, ["acme"]).report()
    assert report.end == EPOCH
    with pytest.raises(StoreError) as told:
        of_tenants(calls, ["acme"]).report(since=EPOCH + timedelta(hours=1))
    assert "2026-11-03" not in str(told.value)


def test_nothing_is_added_to_it(stored: CallStore) -> None:
    with pytest.raises(BadInputError, match="nothing can be added"):
        of_tenants(stored, TENANTS).add(make_calls([make_call()]))
