import pytest

from tests.pages.backtest import page
from tests.support.shared import ROOT


@pytest.mark.slow
@pytest.mark.no_cover
def test_the_backtest_page_is_that_of_this_code() -> None:
    """What the page shows is what the code finds: `make backtest-docs` writes it anew."""
    assert (ROOT / "docs" / "backtest.md").read_text() == page()
