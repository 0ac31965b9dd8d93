"""What a replica of a service is told at start."""

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True)
class Replica:
    """What a replica is told at start; `peers` are the base URLs of the proxies in front of its callees.

    program: the module of `services` that it runs, that of its service where it is not given; `trouble` is for it to read.
    zone: where it runs, by its number where nothing is said; provider: whose model it serves.
    """

    service: str
    name: str
    port: int
    peers: dict[str, str]
    pace: float = 1.0
    program: str = ""
    version: str = ""
    zone: str = ""
    provider: str = ""
    trouble: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> str:
        """The replica as the argument of `python -m meshslo.demo.services`."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        return cls(**json.loads(text))


def process_name(replica: Replica) -> dict[str, str]:
    """Environment that names the replica's pod on every span."""
    zone = replica.zone or f"zone-{'ab'[int(replica.name.rsplit('-', 1)[-1]) % 2]}"
    names = {"k8s.pod.name": replica.name, "k8s.namespace.name": "demo", "cloud.availability_zone": zone}
    names |= {"service.version": replica.version} if replica.version else {}
    joined = ",".join(f"{key}={value}" for key, value in names.items())
    return {**os.environ, "OTEL_RESOURCE_ATTRIBUTES": joined}
