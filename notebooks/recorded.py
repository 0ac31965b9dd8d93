"""The demo as it was recorded in `data/`: its calls, its three runs, its config and the manifests it began with."""

import json
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from meshslo.analysis import CallStore, from_calls
from meshslo.analysis.config import Config, parse_config
from meshslo.analysis.policy.deployed import Deployed, read_deployed

DATA: Final = Path(__file__).parent / "data"


def calls() -> pl.DataFrame:
    """Every call of the three runs, as each vantage saw it."""
    return pl.read_parquet(DATA / "calls.parquet")


def store() -> CallStore:
    """The calls, to ask questions of."""
    return from_calls(calls())


def runs() -> dict[str, dict[str, datetime]]:
    """Name of each run -> its window, as `since` and `until`."""
    known = json.loads((DATA / "runs.json").read_text())
    return {run["name"]: {end: datetime.fromisoformat(run[end]) for end in ("since", "until")} for run in known}


def config() -> Config:
    """What the demo asks of its mesh."""
    return parse_config((DATA / "meshslo.toml").read_text(), name="meshslo.toml")


def deployed() -> Deployed:
    """The policies of the first run, read from its manifests."""
    texts = {path.name: path.read_text() for path in sorted((DATA / "mesh").glob("*.yaml"))}
    return read_deployed(texts, model_header=config().emit.model_header)
