"""Files that commands are given: a config, manifests in use, recommendations. Each mistake is one sentence."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from meshslo.telemetry.errors import BadConfigError, BadInputError

from .moments import parse_moment

if TYPE_CHECKING:
    from meshslo.analysis.config import Config

MANIFESTS: Final = frozenset({".yaml", ".yml", ".json"})


def read_config(path: Path | None) -> "Config":
    """The config at `path`; without one `meshslo.toml` here, if there is one, else the defaults."""
    from meshslo.analysis.config import Config, parse_config

    here = Path("meshslo.toml")
    if path is None and not here.is_file():
        return Config()
    found = path or here
    try:
        text = found.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfigError(f"{found} cannot be read ({error}); pass the path of a meshslo.toml") from None
    return parse_config(text, name=str(found))


def keys_in(text: str) -> list[str]:
    """The keys that an option lists.

    >>> keys_in("hop, model,")
    ['hop', 'model']
    """
    return [key.strip() for key in text.split(",") if key.strip()]


def moment(text: str | None) -> datetime | None:
    """The moment that an option names, counted back from now where it is an age; None where it is not given."""
    return None if text is None else parse_moment(text, datetime.now(UTC))


def read_manifests(paths: Iterable[Path]) -> dict[str, str]:
    """File name -> text of YAML and JSON files: those given, and those anywhere below the folders given (named from there).

    What is no UTF-8 is kept escaped: whoever loads the manifests names its place, and may go on with the others.
    """
    texts: dict[str, str] = {}
    for path in paths:
        for name, file in _manifests(path):
            if name in texts:
                raise BadInputError(f"two manifests are called {name}, the second at {file}; pass one folder above both")
            texts[name] = read_text(file, errors="surrogateescape")
    return texts


def _manifests(path: Path) -> Iterator[tuple[str, Path]]:
    if path.is_file():
        yield path.name, path
        return
    if not path.is_dir():
        raise BadInputError(f"{path}: no such file or folder; pass the manifests in use")
    found = sorted(file for file in path.rglob("*") if file.suffix in MANIFESTS and file.is_file())
    if not found:
        raise BadInputError(f"{path} holds no .yaml, .yml or .json file; pass the folder of the manifests in use")
    yield from ((str(file.relative_to(path)), file) for file in found)


def read_text(file: Path, *, errors: str = "strict") -> str:
    """The text of a file; BadInputError where it cannot be read. errors: what becomes of bytes that are no UTF-8."""
    try:
        return file.read_text(encoding="utf-8", errors=errors)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{file} cannot be read: {error}") from None
