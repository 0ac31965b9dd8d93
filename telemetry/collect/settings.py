"""What a collector can be told: where to listen, how much to take."""

import ipaddress
import socket
from dataclasses import dataclass, field
from pathlib import Path

from meshslo.telemetry.errors import BadConfigError
from meshslo.telemetry.store.housekeeping import WorkerSettings
from meshslo.telemetry.store.journal import JournalSettings

from .access import Tls, Tokens
from .signals import Limits

_MIB = 2**20


@dataclass(frozen=True)
class Address:
    """A host and a port; port 0 is any free one.

    >>> str(Address("127.0.0.1", 4317)), str(Address("::1", 4318))
    ('127.0.0.1:4317', '[::1]:4318')
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def parse_address(text: str) -> Address:
    """The address in "HOST:PORT"; BadConfigError names what is wrong with it.

    >>> parse_address("[::1]:4317")
    Address(host='::1', port=4317)
    """
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise BadConfigError(f"{text!r} is no address; pass HOST:PORT, such as 127.0.0.1:4317 (port 0 takes any free one)")
    return Address(host, int(port))


@dataclass(frozen=True)
class Target:
    """An OTLP endpoint over gRPC to pass batches on to, with or without TLS.

    >>> str(Target(Address("tempo", 4317), tls=True))
    'https://tempo:4317'
    """

    address: Address
    tls: bool = False

    def __str__(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}"


def parse_target(text: str) -> Target:
    """The endpoint in "HOST:PORT", "http://HOST:PORT" or, for TLS, "https://HOST:PORT"; BadConfigError for anything else."""
    return Target(parse_address(text.removeprefix("https://").removeprefix("http://").rstrip("/")), text.startswith("https://"))


@dataclass(frozen=True)
class CollectSettings:
    """Settings of a collector.

    `max_message_bytes` bounds one export, as sent and as decompressed. `max_buffered_bytes` bounds the bodies that HTTP
    requests are sending at one time; beyond it senders are told to come back. `max_connections` is of each port. `ready_file`
    gets the addresses as JSON once both ports listen.
    """

    store: Path
    grpc: Address = Address("127.0.0.1", 4317)
    http: Address = Address("127.0.0.1", 4318)
    insecure: bool = False
    tls: Tls | None = None
    tokens: Tokens = field(default_factory=Tokens)
    forward: Target | None = None
    max_forward_bytes: int = 64 * _MIB
    ready_file: Path | None = None
    max_message_bytes: int = 20 * _MIB
    max_buffered_bytes: int = 128 * _MIB
    max_connections: int = 1000
    limits: Limits = Limits()  # noqa: RUF009 - a frozen value
    journal: JournalSettings = field(default_factory=JournalSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)

    def check(self) -> None:
        """BadConfigError where the settings would let strangers in unasked, or name a place that is not there."""
        if self.ready_file is not None and not self.ready_file.absolute().parent.is_dir():
            raise BadConfigError(
                f"--ready-file {self.ready_file}: there is no folder {self.ready_file.absolute().parent}; make it"
            )
        for name, address in (("--grpc", self.grpc), ("--http", self.http)):
            if not address.is_loopback and not self.insecure and self.tls is None:
                raise BadConfigError(
                    f"{name} {address} can be reached from other machines without encryption: pass --tls-cert and --tls-key, "
                    "listen on 127.0.0.1, or pass --insecure if the network in between is trusted"
                )
        if self.forward is not None and not (self.forward.tls or self.forward.address.is_loopback or self.insecure):
            raise BadConfigError(
                f"--forward {self.forward} would go over the network without encryption: write https://{self.forward.address}, "
                "or pass --insecure if the network in between is trusted"
            )
        if self.tls is not None:
            self.tls.check()


def listen(address: Address) -> socket.socket:
    """A socket bound to `address`; BadConfigError where it is taken or not this machine's."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        raise BadConfigError(f"cannot listen on {address}: {error.strerror}; pass another HOST:PORT") from error
    return bound
