"""Writes docs/backtest.md."""

from tests.pages.backtest import page
from tests.support.shared import ROOT

if __name__ == "__main__":
    (ROOT / "docs" / "backtest.md").write_text(page(), encoding="utf-8")
