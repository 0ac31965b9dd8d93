"""What the dashboard was started with, as `meshslo dashboard` hands it to the process that serves the pages."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self


@dataclass(frozen=True)
class Start:
    """A store's address; paths of a meshslo.toml and of manifests in use, where there are any; whether people log in.

    `login` is what the config said at the start: a config that cannot be read any more opens no door.
    """

    store: str
    config: str | None = None
    current: tuple[str, ...] = ()
    login: bool = False

    @property
    def config_path(self) -> Path | None:
        """The config that was named; None where it is the one in the working folder, if there is one."""
        return None if self.config is None else Path(self.config)

    def to_words(self) -> list[str]:
        """One word of a command line."""
        return [json.dumps(asdict(self))]

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Self:
        """What `to_words` made.

        >>> Start.from_words(Start("s", current=("k8s",)).to_words())
        Start(store='s', config=None, current=('k8s',), login=False)
        """
        given = json.loads(words[0])
        return cls(given["store"], given["config"], tuple(given["current"]), given["login"])
