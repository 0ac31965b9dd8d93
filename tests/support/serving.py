"""HTTP servers on free loopback ports that say nothing on standard error."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


class _Silent:
    def log_message(self, *words: object) -> None:
        """Say nothing."""


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[ThreadingHTTPServer]:
    """A server (at its `server_port`) that answers with `handler` until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type(handler.__name__, (_Silent, handler), {}))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
