"""Who may send: TLS certificates, client certificates, bearer tokens, and the tenants a token may speak for."""

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from meshslo.telemetry.errors import BadConfigError, BadInputError

_SCHEME: Final = "bearer"


class UnknownSenderError(BadInputError):
    """A request without a token, or with one that is not known."""


@dataclass(frozen=True)
class Tls:
    """Certificate and key of the collector; with `client_ca`, senders must show a certificate signed by it. All PEM files."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def check(self) -> None:
        """BadConfigError where a file is not there or is no PEM of its kind."""
        try:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
        except OSError as error:
            files = ", ".join(str(path) for path in (self.certificate, self.key, self.client_ca) if path is not None)
            raise BadConfigError(
                f"TLS files {files}: {error.strerror or error}; pass PEM files that belong together"
            ) from error

    def for_grpc(self) -> grpc.ServerCredentials:
        """The same for the gRPC port."""
        pair = (self.key.read_bytes(), self.certificate.read_bytes())
        authority = None if self.client_ca is None else self.client_ca.read_bytes()
        return grpc.ssl_server_credentials([pair], authority, require_client_auth=authority is not None)


@dataclass(frozen=True)
class Sender:
    """Whoever sent a request. `tenants` are those it may speak for; None means any."""

    tenants: frozenset[str] | None = None

    def may_speak_for(self, tenant: str) -> bool:
        """Whether a span of this sender may name `tenant`."""
        return self.tenants is None or tenant in self.tenants


@dataclass(frozen=True)
class Tokens:
    """Bearer tokens by their SHA-256, so that none lies about in memory or a traceback; None of them: everyone may send."""

    by_digest: dict[bytes, Sender] | None = None

    def sender(self, authorization: str | None) -> Sender:
        """The sender of a request with this Authorization header; UnknownSenderError where it may not send."""
        if self.by_digest is None:
            return Sender()
        scheme, _, token = (authorization or "").strip().partition(" ")
        found = self.by_digest.get(_digest(token.strip())) if scheme.lower() == _SCHEME else None
        if found is None:
            problem = "an unknown token" if authorization else "no token"
            raise UnknownSenderError(f"the request has {problem}; send `Authorization: Bearer TOKEN` with one from --tokens")
        return found


def read_tokens(path: Path | None) -> Tokens:
    """The tokens in a file of lines `TOKEN` or `TOKEN TENANT,TENANT`; `#` begins a comment. BadConfigError names a bad line."""
    if path is None:
        return Tokens()
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfigError(f"--tokens {path}: {getattr(error, 'strerror', None) or error}; pass a text file") from error
    senders: dict[bytes, Sender] = {}
    for number, line in enumerate(lines, 1):
        words = line.split("#")[0].split()
        if len(words) > 2:
            raise BadConfigError(f"{path}:{number}: a line is TOKEN or TOKEN TENANT,TENANT (no spaces between tenants)")
        if words:
            senders[_digest(words[0])] = Sender(frozenset(words[1].split(",")) if len(words) == 2 else None)
    if not senders:
        raise BadConfigError(f"--tokens {path}: there is no token in it, so nobody could send; add a line with one")
    return Tokens(senders)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
