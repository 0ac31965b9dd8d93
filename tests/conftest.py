"""What holds for every test."""

import pytest
from hypothesis import HealthCheck, settings

# No test is timed: a machine may be busy with other things.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file that start real processes in one worker: they share what they start.

    What is tried with many examples is not traced: each example runs the lines of the others.
    """
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("no_cover")
        if item.get_closest_marker("system") and not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))
