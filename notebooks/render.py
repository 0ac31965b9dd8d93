"""Runs notebooks and writes each as one HTML page that needs no network: python notebooks/render.py OUT [NOTEBOOK ...]."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from plotly.io import from_json, to_html
from traitlets.config import Config

HERE: Final = Path(__file__).parent
PICTURE: Final = "application/vnd.plotly.v1+json"


def main(out: Path, notebooks: Sequence[Path]) -> None:
    """Write `out`/NAME.html of each notebook, all of `notebooks/` where none is given."""
    out.mkdir(parents=True, exist_ok=True)
    for path in notebooks or sorted(HERE.glob("*.ipynb")):
        page = out / f"{path.stem}.html"
        page.write_text(rendered(path), encoding="utf-8")
        sys.stderr.write(f"wrote {page}\n")


def rendered(path: Path) -> str:
    """The HTML page of a notebook after a run of its own; CellExecutionError names the cell that failed."""
    notebook = nbformat.read(path, as_version=4)
    with TemporaryDirectory() as sockets:
        # The kernel is spoken to through files that only this user may read, not through ports.
        private = Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/kernel"})
        NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(HERE)}}, config=private).execute()
    _draw([output["data"] for cell in notebook.cells for output in cell.get("outputs", ()) if "data" in output])
    exporter = HTMLExporter(require_js_url="", mathjax_url="", jquery_url="", mermaid_js_url="")
    page, _ = exporter.from_notebook_node(notebook)
    return str(page)


def _draw(outputs: Sequence[dict[str, Any]]) -> None:
    """Put the HTML of each plotly picture beside its data, plotly itself into the first."""
    pictures = [data for data in outputs if PICTURE in data]
    for number, data in enumerate(pictures):
        figure = from_json(_json(data.pop(PICTURE)))
        data["text/html"] = to_html(
            figure,
            # The bar of buttons would stand on the legend.
            config={"displayModeBar": False, "responsive": True},
            full_html=False,
            include_plotlyjs=number == 0,
            include_mathjax=False,
        )


def _json(picture: dict[str, Any]) -> str:
    """The figure alone, without the config that a notebook's page needs."""
    return json.dumps({"data": picture["data"], "layout": picture["layout"]})


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
