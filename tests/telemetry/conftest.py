"""One collector for the tests that need no other."""

from collections.abc import Iterator

import pytest

from tests.support.collector import Collector, running


@pytest.fixture(scope="session")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    """A collector that waits for nobody's trace; its tests are those of the xdist group "collector"."""
    with running(tmp_path_factory.mktemp("collector"), "--settle", "0") as collector:
        yield collector
