"""A mesh's certificates, made on the spot: an authority, a server's, and callers' with a SPIFFE id."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Authority:
    """Issues certificates into a folder."""

    folder: Path

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def certificate(self) -> x509.Certificate:
        """Its own, which signs the others."""
        made = self._signed("authority", self._key, x509.BasicConstraints(ca=True, path_length=0))
        self._path("authority.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
        return made

    def issue(self, name: str, subject: x509.GeneralName) -> tuple[Path, Path]:
        """Files of a certificate for `subject` and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key, x509.SubjectAlternativeName([subject]))
        paths = self._path(f"{name}.pem"), self._path(f"{name}.key")
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return paths

    def client_context(self, identity: str | None) -> ssl.SSLContext:
        """What a caller of this identity connects with; None has no certificate."""
        assert self.certificate
        context = ssl.create_default_context(cafile=str(self._path("authority.pem")))
        if identity is not None:
            name = "".join(letter if letter.isalnum() else "-" for letter in identity)
            context.load_cert_chain(*self.issue(name, x509.UniformResourceIdentifier(identity)))
        return context

    def asking_socket(self) -> dict[str, Any]:
        """Envoy's transport socket of a listener, for localhost, that lets in nobody without a certificate."""
        assert self.certificate
        certificate, key = self.issue("localhost", x509.DNSName("localhost"))
        files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
        common = {
            "tls_certificates": [files],
            "validation_context": {"trusted_ca": {"filename": str(self._path("authority.pem"))}},
        }
        context = {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": common,
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.now(UTC)
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return (
            x509.CertificateBuilder()
            .subject_name(own)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
            .sign(self._key, hashes.SHA256())
        )
