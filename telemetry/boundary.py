"""Which hosts are inside: only they are told whose request it is."""

import ipaddress
import os
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

INSIDE_SUFFIXES: Final = (".local", ".svc", ".internal", ".localhost")
"""Names of clusters and private networks; `.svc.cluster.local` is among them."""

INSIDE_VARIABLE: Final = "MESHSLO_INSIDE_HOSTS"
"""Environment variable: further inside hosts, as comma-separated patterns such as `*.mesh.example.com`."""


def is_inside(host: str, also: Iterable[str] = ()) -> bool:
    """Whether `host` may be told tenant and model: no dot in its name, private, a cluster's, or one of the patterns `also`.

    >>> [is_inside(host) for host in ("generator", "10.0.0.7", "api.openai.com", "llm.prod.svc", "::1")]
    [True, True, False, True, True]
    """
    name = host.strip("[]").rstrip(".").lower()
    patterns = [*also, *os.environ.get(INSIDE_VARIABLE, "").split(",")]
    if any(fnmatchcase(name, pattern.strip().lower()) for pattern in patterns if pattern.strip()):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(INSIDE_SUFFIXES))
    return address.is_private or address.is_loopback
