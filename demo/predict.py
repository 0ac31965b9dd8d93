"""What a run will show, said beforehand: the calls of the run before, replayed under the mesh that it will have."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from meshslo.analysis import open_store
from meshslo.analysis.simulate import Mesh, read_mesh
from meshslo.analysis.simulate.estimates import Figure

from .measure import Measured

MODEL_HEADER: Final = "x-model"


@dataclass(frozen=True)
class Prediction:
    """Share of streams cut by timers, of requests that succeed, calls made for one asked along the chain; with intervals."""

    cut_rate: Figure
    success_rate: Figure
    amplification: Figure

    def to_dict(self, measured: Measured) -> dict[str, Any]:
        """The figures, each with whether its interval held what was then measured."""
        return {name: asdict(figure) | {"held": holds(figure, getattr(measured, name))} for name, figure in vars(self).items()}


def predict(
    store: Path, window: tuple[datetime, datetime], now: Mapping[str, Path], proposed: Mapping[str, Path]
) -> Prediction:
    """What the calls of `window`, made under the bootstraps of `now`, would become under those proposed."""
    found = open_store(store).simulate(_mesh(proposed), current=_mesh(now), since=window[0], until=window[1])
    return Prediction(
        cut_rate=found.chain["streams_cut_ratio"].after,
        success_rate=found.chain["success_ratio"].after,
        amplification=found.chain["amplification"].after,
    )


def holds(figure: Figure, measured: float) -> bool:
    """Whether a measured value lies in the interval."""
    return figure.low is not None and figure.high is not None and figure.low <= measured <= figure.high


def _mesh(bootstraps: Mapping[str, Path]) -> Mesh:
    return read_mesh({path.name: path.read_text() for path in bootstraps.values()}, model_header=MODEL_HEADER)
