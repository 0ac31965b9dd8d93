"""Runs the benchmarks of this folder, prints what they found and writes build/bench.json.

    .venv/bin/python -m tests.bench [NAME...]

A benchmark is a module with `run() -> dict`: numbers by name, or tables of them. One that cannot run here (a server is not
installed) says why and the others go on; the exit code is then 1.
"""

import importlib
import json
import pkgutil
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

RESULT = Path("build") / "bench.json"


def main(names: list[str]) -> int:
    """Run the named benchmarks, or all; 0 where all ran."""
    console = Console(width=100 if not sys.stdout.isatty() else None)
    known = sorted(info.name for info in pkgutil.iter_modules([str(Path(__file__).parent)]) if not info.name.startswith("_"))
    unknown = sorted(set(names) - set(known))
    if unknown:
        console.print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}")
        return 2
    results: dict[str, Any] = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    failed = [name for name in names or known if not _run(name, results, console)]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(results, indent=2) + "\n")
    console.print(f"{RESULT} holds {', '.join(results)}")
    return 1 if failed else 0


def _run(name: str, results: dict[str, Any], console: Console) -> bool:
    module = importlib.import_module(f"tests.bench.{name}")
    if not hasattr(module, "run"):
        return True
    title = (module.__doc__ or name).splitlines()[0]
    console.print(f"\n[bold]{name}[/]: {title}")
    began = time.perf_counter()
    try:
        results[name] = module.run()
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        console.print(f"did not run: {error}")
        console.print("".join(traceback.format_exception(error)[-2:]), style="dim", markup=False)
        results.pop(name, None)
        return False
    console.print(_table(results[name]))
    console.print(f"took {time.perf_counter() - began:.0f} s", style="dim")
    return True


def _table(result: dict[str, Any]) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    for name, value in _flat(result):
        table.add_row(name, f"{value:,.4g}" if isinstance(value, float) else str(value))
    return table


def _flat(result: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in result.items():
        rows += _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else [(f"{prefix}{name}", value)]
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
