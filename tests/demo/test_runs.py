"""runs.json, the table and the picture of the runs."""

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console

from meshslo.analysis.quantile import Quantile
from meshslo.analysis.simulate.estimates import Figure
from meshslo.demo.measure import Measured, Traffic
from meshslo.demo.predict import Prediction
from meshslo.demo.runs import Run, runs_table, write_runs
from meshslo.demo.settings import HOPS
from meshslo.demo.svg import draw

MEASURED = Measured(
    requests=1000,
    streams=750,
    cut_by_timer=90,
    left=0,
    succeeded=850,
    traffic={hop: Traffic(asked=1000, made=1100) for hop in HOPS},
    tokens=40_000,
    tokens_in_vain=10_000,
)
BOUND = Quantile(0.95, 3.0, 3.0, None, "at_least")
UNKNOWN = Quantile(0.99, None, None, None, "not_identifiable", needs_calls=49)
BEFORE = Run(
    "before",
    datetime(2026, 11, 2, tzinfo=UTC),
    datetime(2026, 11, 3, tzinfo=UTC),
    MEASURED,
    MEASURED,
    BOUND,
    UNKNOWN,
    held_s=3.0,
)
PREDICTED = Prediction(
    cut_rate=Figure(0.1, 0.08, 0.13), success_rate=Figure(None, 0.9, 0.97, "bounded"), amplification=Figure(1.3, 1.2, 1.4)
)
AFTER = replace(BEFORE, name="tightened", p95=Quantile(0.95, 4.5, 4.1, 4.9, "ok"), promised_rate=0.01, predicted=PREDICTED)


def test_runs_json_has_what_scripts_read(tmp_path: Path) -> None:
    write_runs([BEFORE, AFTER], tmp_path / "runs.json")
    before, after = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert {
        "name": "before",
        "streams": 750,
        "cut_by_timer": 90,
        "promised_rate": None,
        "success_rate": 0.85,
    }.items() <= before.items()
    assert (before["tokens_in_vain"], before["p95_s"], before["p95_status"], before["p99_s"]) == (10_000, 3.0, "at_least", None)
    assert (before["amplification"], before["users"]["streams"]) == (1.1**3, 750)
    assert (after["promised_rate"], after["p95_status"]) == (0.01, "ok")
    assert before["predicted"] is None
    assert after["predicted"]["cut_rate"] == {"value": 0.1, "low": 0.08, "high": 0.13, "status": "ok", "held": True}
    assert not after["predicted"]["success_rate"]["held"]


def test_the_table_says_what_is_a_bound_and_what_is_unknown() -> None:
    console = Console(width=100, force_terminal=False)
    with console.capture() as capture:
        console.print(runs_table([BEFORE, AFTER], console))
    text = capture.get()
    assert text.isascii()
    for words in (">= 3.00 s", "needs 49 more", "90 (12.0%)", "nothing", "1.0%", "4.40", "8.0 - 13.0%", "1.20 - 1.40"):
        assert words in text


def test_the_picture_is_whole_without_a_network() -> None:
    seconds = np.array([1.0, 2.0, 3.0])
    curves = {"before": (seconds, np.array([0.9, 0.5, 0.5])), "tightened": (seconds, np.array([0.9, 0.1, 0.0]))}
    picture = draw([BEFORE, AFTER], curves, cap_s=3.0)
    root = ET.fromstring(picture)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"before", "tightened", ">= 3.00 s"} <= set(words)
    assert picture.count("http") == 1  # the namespace
