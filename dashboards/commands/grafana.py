"""`meshslo grafana`: dashboards for a Grafana that has a Prometheus, and the files by which it finds them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshslo.dashboards.console import Output, OutputOption, err, out
from meshslo.dashboards.sentences import say

from . import Command

if TYPE_CHECKING:
    from rich.console import Console

    from meshslo.analysis.recommend import Recommendations
    from meshslo.dashboards.grafana import Generated
    from meshslo.telemetry.prometheus.profile import Profile

_Out = Annotated[Path, typer.Option("--out", help="Folder to write dashboards/ and provisioning/ into.")]
_Profile = Annotated[
    list[str] | None,
    typer.Option(
        "--profile", help="From what (repeat): meshslo, istio, linkerd, envoy, vllm, genai, clickhouse, ...; else all there is."
    ),
]
_Advice = Annotated[
    Path | None,
    typer.Option("--recommendations", help="Output of `meshslo recommend --output json`; its values become lines."),
]
_Config = Annotated[Path | None, typer.Option("--config", help="meshslo.toml with profiles of your own.")]


def grafana(
    out_dir: _Out,
    profile: _Profile = None,
    recommendations: _Advice = None,
    config: _Config = None,
    output: OutputOption = Output.table,
) -> None:
    """Write Grafana dashboards: chain, hop, models, streams, retries and timeouts, objectives, mesh security.

    The same dashboards are made from the metrics of meshslo's collector, of meshes, gateways and inference servers, and from
    rollups kept in ClickHouse; a panel that these cannot fill is left out and listed. Made again from the same input, the
    files do not change.

    Example: meshslo grafana --out grafana/ --profile meshslo --profile istio
    """
    try:
        from meshslo.dashboards.grafana import generate, sources
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "grafana_foundation_sdk":
            raise
        from meshslo.telemetry.errors import BadConfigError

        raise BadConfigError("dashboards need grafana-foundation-sdk: pip install 'meshslo[dashboards]'") from None
    made = generate(sources(profile or [], _own(config)), _advice(recommendations))
    changed = _write(made, out_dir)
    if output is Output.json:
        typer.echo(_json(made, out_dir, changed))
    else:
        _show(made, out_dir, changed, out())


def _own(config: Path | None) -> "list[Profile]":
    from meshslo.dashboards.inputs import read_config
    from meshslo.telemetry.prometheus.profile import parse_profile

    return [parse_profile(name, table) for name, table in read_config(config).profiles.items()]


def _advice(path: Path | None) -> "Recommendations | None":
    from meshslo.analysis.recommend import parse_recommendations
    from meshslo.dashboards.inputs import read_text

    return None if path is None else parse_recommendations(read_text(path), name=str(path))


def _write(made: "Generated", folder: Path) -> list[str]:
    """Write what differs from what is there; the paths written."""
    from meshslo.telemetry.errors import BadInputError

    changed = []
    for name, text in made.files.items():
        path = folder / name
        try:
            if path.is_file() and path.read_bytes() == text.encode():
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        except OSError as error:
            raise BadInputError(f"{path} cannot be written: {error}; pass another --out") from None
        changed.append(name)
        err().print(f"wrote {path}", soft_wrap=True, markup=False)
    return changed


def _json(made: "Generated", folder: Path, changed: list[str]) -> str:
    import json
    from dataclasses import asdict

    left_out = [asdict(one) for one in made.left_out]
    told = {"schema": "meshslo.grafana/1", "out": str(folder), "files": list(made.files), "written": changed}
    return json.dumps({**told, "left_out": left_out}, indent=2)


def _show(made: "Generated", folder: Path, changed: list[str], console: "Console") -> None:
    """Print how many files there are, then what each profile's metrics cannot show."""
    say(console, f"{len(made.files)} files in {folder}, {len(changed)} of them written")
    reasons: dict[tuple[str, str], list[str]] = {}
    for one in made.left_out:
        reasons.setdefault((one.profile, one.reason), []).append(f"{one.board}: {one.panel}")
    for (profile, reason), panels in reasons.items():
        console.print()
        say(console, f"{profile}: left out, since {reason}:")
        for panel in panels:
            say(console, f"  {panel}", hang=4)


COMMAND = Command(grafana)
