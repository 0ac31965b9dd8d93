"""A mesh's certificates, made on the spot: an authority, workloads' with a SPIFFE id each, Envoy's sockets that use them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_TLS: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"
_SIGNS: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


@dataclass
class Authority:
    """Issues certificates into a folder."""

    folder: Path

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def _certificate(self) -> x509.Certificate:
        return self._signed("authority", self._key, x509.BasicConstraints(ca=True, path_length=0), _SIGNS)

    @cached_property
    def trusted(self) -> Path:
        """The file of its own certificate, which signs the others."""
        path = self.folder / "authority.pem"
        path.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def issue(self, subject: x509.GeneralName) -> tuple[Path, Path]:
        """Files of a certificate for `subject` and of its key."""
        name = "".join(letter if letter.isalnum() else "-" for letter in str(subject.value))
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(name, key, x509.SubjectAlternativeName([subject]))
        paths = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        form = serialization.PrivateFormat.PKCS8
        paths[1].touch(mode=0o600)
        paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))
        return paths

    def asking_socket(self, subject: x509.GeneralName) -> dict[str, Any]:
        """Envoy's transport socket of a listener, as `subject`, that lets in nobody without a certificate."""
        context = {
            "@type": f"{_TLS}.DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": self._context(subject, {}),
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def showing_socket(self, identity: str, callee: str) -> dict[str, Any]:
        """Envoy's transport socket of a cluster that shows its own SPIFFE id and trusts none but the callee's."""
        names = {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": callee}}]}
        context = {
            "@type": f"{_TLS}.UpstreamTlsContext",
            "common_tls_context": self._context(x509.UniformResourceIdentifier(identity), names),
        }
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def _context(self, subject: x509.GeneralName, names: dict[str, Any]) -> dict[str, Any]:
        certificate, key = self.issue(subject)
        files = {"certificate_chain": {"filename": str(certificate)}, "private_key": {"filename": str(key)}}
        trusted = {"trusted_ca": {"filename": str(self.trusted)}}
        return {"tls_certificates": [files], "validation_context": {**trusted, **names}}

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> x509.Certificate:
        """A certificate that bears a strict look, as Python's from 3.13 on: it says whose key it is, and who signed it."""
        now = datetime.now(UTC)
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        keys = (
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(own)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
        )
        for extension in (*extensions, *keys):
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints | x509.KeyUsage))
        return builder.sign(self._key, hashes.SHA256())
