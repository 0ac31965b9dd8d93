"""A gRPC call by hand, for what no client library would send."""

import socket
import struct
from collections.abc import Iterator, Mapping

_HEADERS, _RESET, _END_STREAM = 1, 3, 1


def trailers_of_call(address: str, path: str, body: bytes, headers: Mapping[str, str], *, compressed: bool) -> bytes:
    """The last header block (HPACK, its texts plain where the server writes them so) that answers one unary call."""
    pseudo = {":method": "POST", ":scheme": "http", ":path": path, ":authority": address}
    told = {**pseudo, "content-type": "application/grpc", "te": "trailers", **headers}
    message = bytes([compressed]) + struct.pack(">I", len(body)) + body
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
        connection.sendall(_frame(_HEADERS, 4, 1, b"".join(_literal(*pair) for pair in told.items())))
        connection.sendall(_frame(0, _END_STREAM, 1, message))
        for kind, flags, payload in _frames(connection):
            if kind == _HEADERS and flags & _END_STREAM:
                return payload
    raise AssertionError("the server ended the connection without an answer")


def _literal(name: str, value: str) -> bytes:
    """A header without indexing and without Huffman coding; each text under 127 bytes."""
    return b"".join((b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()))


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _frames(connection: socket.socket) -> Iterator[tuple[int, int, bytes]]:
    """Frames as they come: kind, flags, payload."""
    with connection.makefile("rb") as stream:
        while len(head := stream.read(9)) == 9:
            yield head[3], head[4], stream.read(int.from_bytes(head[:3], "big"))
