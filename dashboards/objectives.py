"""The objectives that a command is given: those of the config, and those of OpenSLO files."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from meshslo.telemetry.errors import BadConfigError

from .inputs import read_config, read_text

if TYPE_CHECKING:
    from meshslo.analysis.config import Config


def read_objectives(config: Path | None, openslo: Sequence[Path]) -> "Config":
    """The config with the objectives of the OpenSLO files added; BadConfigError where there are none, or two contradict."""
    from pydantic import ValidationError

    from meshslo.analysis.config import Config
    from meshslo.analysis.slo.objective import NO_OBJECTIVES
    from meshslo.analysis.slo.openslo import parse_openslo

    settings = read_config(config)
    added = tuple(objective for file in openslo for objective in parse_openslo(read_text(file), str(file)))
    if not settings.slo and not added:
        raise BadConfigError(NO_OBJECTIVES)
    if not added:
        return settings
    try:
        return Config.model_validate({**dict(settings), "slo": (*settings.slo, *added)})
    except ValidationError as error:
        told = "; ".join(str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors(include_url=False))
        raise BadConfigError(f"{config or 'meshslo.toml'} with {', '.join(map(str, openslo))}: {told}") from None
