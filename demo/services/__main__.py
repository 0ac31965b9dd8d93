"""Runs one replica: `python -m meshslo.demo.services REPLICA`, REPLICA being the JSON of `replica.Replica`."""

import sys
from importlib import import_module

from .desk import serve
from .replica import Replica


def main() -> None:
    """Serve the replica that the first argument describes."""
    replica = Replica.from_json(sys.argv[1])
    serve(replica, import_module(f"meshslo.demo.services.{replica.program or replica.service}").build)


if __name__ == "__main__":
    main()
