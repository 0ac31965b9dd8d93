"""`meshslo fold`: keep the rollups of finished hours, so that reports need not read their calls again."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, StoreOption

from . import Command

if TYPE_CHECKING:
    from meshslo.analysis.directory import DirectoryCalls

_Every = Annotated[
    str | None,
    typer.Option("--every", help="Stay, and fold again so often, such as 10m; default once.", show_default=False),
]


def fold(store: StoreOption = DEFAULT_STORE, every: _Every = None) -> None:
    """Fold the calls of finished hours into rollups that are kept, and these into days and months.

    Reports, objectives and the dashboard then read a few folds instead of every call; what they say stays the same, and calls
    that come late are counted all the same. Run it by cron, or leave it running beside `meshslo collect`.

    Example: meshslo fold --store ./meshslo-store --every 10m
    """
    from meshslo.analysis.config import Limits
    from meshslo.analysis.directory import open_directory
    from meshslo.dashboards.moments import parse_length_s
    from meshslo.telemetry.errors import BadInputError

    if "://" in store:
        raise BadInputError(f"{store} is read in place: its server keeps rollups after `meshslo clickhouse-init`")
    pause_s = None if every is None else parse_length_s(every, "--every")
    calls = open_directory(Path(store), Limits())
    while True:
        _once(calls)
        if pause_s is None:
            return
        time.sleep(pause_s)


def _once(calls: "DirectoryCalls") -> None:
    from datetime import UTC, datetime

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from meshslo.dashboards.console import err

    console = err()
    columns = (TextColumn("folding {task.fields[span]}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("fold", total=None, span="")
        made = calls.fold(
            datetime.now(UTC),
            lambda step: bar.update(task, total=step.of, completed=step.done, span=f"{step.level} {step.start:%Y-%m-%d %H:%M}"),
        )
    console.print(f"folded: {made} (hours, days and months)" if made else "every finished hour is folded")


COMMAND = Command(fold)
