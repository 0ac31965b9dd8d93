"""`meshslo import`: files that hold telemetry into a store."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import DEFAULT_STORE, Output, OutputOption, StoreOption, err, out
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from meshslo.telemetry.sources.inputs import Input
    from meshslo.telemetry.sources.load import Loaded, Progress


def import_(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Files or globs, also .gz and .zst; - is standard input.")
    ],
    store: StoreOption = DEFAULT_STORE,
    format_: Annotated[
        str, typer.Option("--format", help="auto, otlp, jaeger, tempo, envoy-log or calls; auto looks at the first bytes.")
    ] = "auto",
    map_: Annotated[
        list[str],
        typer.Option("--map", metavar="COLUMN=NAME[:UNIT]", help="Rename a file's column; =NAME empty leaves it out."),
    ] = [],  # noqa: B006  # typer copies it
    set_: Annotated[list[str], typer.Option("--set", metavar="NAME=VALUE", help="A column that is one value throughout.")] = [],  # noqa: B006
    max_bad: Annotated[float, typer.Option(min=0, max=1, help="Share of bad records above which the exit code is 1.")] = 0.05,
    output: OutputOption = Output.table,
) -> None:
    """Load OTLP files, saved Jaeger or Tempo traces, access logs or calls files into a store.

    What can be read is kept; bad lines are counted and the first named. A file that is imported twice counts once.

    Example: meshslo import calls.csv --map latency_ms=duration_s --set hop=ingress>gateway --store ./meshslo-store
    """
    from meshslo.telemetry.sources.column_map import ColumnMap
    from meshslo.telemetry.sources.inputs import expand
    from meshslo.telemetry.sources.load import LoadSettings, load
    from meshslo.telemetry.store import open_store

    inputs = expand(files)
    settings = LoadSettings(source=format_, columns=ColumnMap.parse(map_, set_), max_bad_ratio=max_bad)
    with _progress(inputs) as progress:
        loaded = load(open_store(store, create=True), inputs, settings, progress)
    _print(loaded, output, store)
    if loaded.bad_ratio > max_bad:
        share = f"{loaded.bad_ratio:.1%} of the records could not be read, more than --max-bad {max_bad:.1%}"
        err().print(f"{share}; the rest is kept", soft_wrap=True)
        raise typer.Exit(1)


@contextmanager
def _progress(inputs: "Sequence[Input]") -> "Iterator[Progress]":
    """A bar on standard error over the bytes of all inputs."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    read: dict[str, int] = {}
    console = err()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Reading", total=sum(each.size_bytes for each in inputs) or None)

        def show(each: "Input", position_bytes: int) -> None:
            read[each.name] = position_bytes
            bar.update(task, completed=sum(read.values()), description=f"Reading {each.name}")

        yield show


def _print(loaded: "Loaded", output: Output, store: str) -> None:
    console = out()
    if output is Output.json:
        console.print_json(data={"schema": "meshslo.import/1", "store": store, **_json(loaded)})
        return
    console.print(
        f"{loaded.rows} calls new in {store}, {loaded.duplicates} were there already", highlight=False, soft_wrap=True
    )
    if loaded.rows and loaded.duplicates and loaded.unnamed:
        say(console, _ALREADY)
    if loaded.left_out:
        said = ", ".join(f"{count} {reason}" for reason, count in sorted(loaded.left_out.items()))
        say(console, f"No call of their own: {said}")
    for bad in loaded.reasons:
        err().print(f"Not read: {bad}", markup=False, soft_wrap=True)
    if loaded.bad:
        err().print(f"{loaded.bad} of {loaded.bad + loaded.taken} records could not be read", soft_wrap=True)


_ALREADY = (
    "Calls without ids were there already where a file that begins with the same call says the same on the same line: "
    "it has grown, or was mended. Files of other pods begin so by chance? Import each with --set pod=NAME"
)


def _json(loaded: "Loaded") -> dict[str, object]:
    return {
        "files": loaded.files,
        "calls": loaded.rows,
        "duplicates": loaded.duplicates,
        "records": loaded.taken + loaded.bad,
        "bad": loaded.bad,
        "reasons": [{"file": bad.name, "line": bad.line, "reason": bad.reason} for bad in loaded.reasons],
        "left_out": loaded.left_out,
    }


COMMAND = Command(import_, name="import")
