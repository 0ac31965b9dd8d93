"""What the dashboard was started with, as `meshslo dashboard` hands it to the process that serves the pages."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Self


@dataclass(frozen=True)
class Start:
    """A store's address; paths of a meshslo.toml and of manifests in use, where there are any."""

    store: str
    config: str | None = None
    current: tuple[str, ...] = ()

    def to_words(self) -> list[str]:
        """One word of a command line."""
        return [json.dumps(asdict(self))]

    @classmethod
    def from_words(cls, words: Sequence[str]) -> Self:
        """What `to_words` made.

        >>> Start.from_words(Start("s", current=("k8s",)).to_words())
        Start(store='s', config=None, current=('k8s',))
        """
        given = json.loads(words[0])
        return cls(given["store"], given["config"], tuple(given["current"]))
