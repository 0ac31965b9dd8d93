"""The runs of a demo: what was measured in each, as `runs.json` and as one table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from meshslo.analysis.quantile import Quantile
from meshslo.dashboards.tables import table

from .measure import Measured
from .predict import Prediction

TITLE: Final = "The same load under three meshes"


@dataclass(frozen=True)
class Run:
    """One run of the load under one mesh: its window, both measurements, and what was promised and predicted of it."""

    name: str
    since: datetime
    until: datetime
    users: Measured
    store: Measured
    p95: Quantile
    p99: Quantile
    promised_rate: float | None = None
    held_s: float | None = None
    """How long a call that never answers is held."""
    predicted: Prediction | None = None
    """What the run before let expect of this one's mesh."""
    lag_s: float = 0.0
    """How late the load generator's process woke up in the worst hundredth of cases."""

    def to_dict(self) -> dict[str, Any]:
        """The run as `runs.json` has it: the store's figures, the users' own below `users`; `at_least` marks a bound."""
        return {
            "name": self.name,
            "since": self.since.isoformat(),
            "until": self.until.isoformat(),
            **_figures(self.store),
            "cut_rate": self.store.cut_rate,
            "promised_rate": self.promised_rate,
            "predicted": None if self.predicted is None else self.predicted.to_dict(self.store),
            "held_s": self.held_s,
            "lag_s": self.lag_s,
            "p95_s": self.p95.value_s,
            "p95_status": self.p95.status,
            "p99_s": self.p99.value_s,
            "p99_status": self.p99.status,
            "users": _figures(self.users),
        }


def _figures(measured: Measured) -> dict[str, Any]:
    rates = {"calls": measured.calls, "success_rate": measured.success_rate, "amplification": measured.amplification}
    return asdict(measured) | rates


def write_runs(runs: Sequence[Run], path: Path) -> None:
    """Write `runs.json`."""
    path.write_text(json.dumps({"runs": [run.to_dict() for run in runs]}, indent=2) + "\n")


def runs_rows(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    """What the table of the runs says: a name, and a cell for each run."""
    return [
        ("requests / streams", [f"{run.store.requests} / {run.store.streams}" for run in runs]),
        ("streams cut by timers", [f"{run.store.cut_by_timer} ({run.store.cut_rate:.1%})" for run in runs]),
        ("  promised at most", [_promise(run.promised_rate) for run in runs]),
        ("  predicted", [_prediction(run, "cut_rate") for run in runs]),
        ("success", [f"{run.store.success_rate:.1%}" for run in runs]),
        ("  predicted", [_prediction(run, "success_rate") for run in runs]),
        ("calls per request, at best 4", [f"{run.store.calls / max(1, run.store.requests):.2f}" for run in runs]),
        ("amplification of the chain", [f"{run.store.amplification:.2f}" for run in runs]),
        ("  predicted", [_prediction(run, "amplification") for run in runs]),
        ("tokens generated in vain", [_vain(run.store) for run in runs]),
        ("stream p95", [_seconds(run.p95) for run in runs]),
        ("stream p99", [_seconds(run.p99) for run in runs]),
        ("a dead call is held for", [f"{run.held_s:g} s" if run.held_s else "ever" for run in runs]),
    ]


def runs_table(runs: Sequence[Run], console: Console) -> Table:
    """One column a run, so that a row reads as a story."""
    filled = table(console, title=f"{TITLE}: measured in each run")
    filled.add_column("", no_wrap=True)
    for run in runs:
        filled.add_column(run.name, justify="right", no_wrap=True)
    for name, cells in runs_rows(runs):
        filled.add_row(name, *cells)
    return filled


def _promise(rate: float | None) -> str:
    return "nothing" if rate is None else f"{rate:.1%}"


def _prediction(run: Run, name: str) -> str:
    """The interval that was predicted, as in "0.3 - 2.1%"."""
    figure = getattr(run.predicted, name, None)
    if figure is None or figure.low is None or figure.high is None:
        return "-"
    return f"{figure.low:.2f} - {figure.high:.2f}" if name == "amplification" else f"{100 * figure.low:.1f} - {figure.high:.1%}"


def _vain(measured: Measured) -> str:
    return f"{measured.tokens_in_vain:,} ({measured.tokens_in_vain / max(1, measured.tokens):.0%})"


def _seconds(quantile: Quantile) -> str:
    """The estimate, or the bound that is all a cap lets one know."""
    if quantile.value_s is None:
        return f"needs {quantile.needs_calls} more"
    return f"{'>= ' if quantile.status == 'at_least' else ''}{quantile.value_s:.2f} s"
