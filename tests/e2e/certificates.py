"""Certificates for the ingress gateway, signed by an authority of the test's own."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class ServerCertificate:
    """A server's certificate and key, and the authority that a client is to trust. All PEM."""

    certificate: bytes
    key: bytes
    authority: bytes

    @property
    def shown(self) -> str:
        """The certificate and its key, as a traffic client shows it."""
        return (self.certificate + self.key).decode()

    def secret(self, name: str, namespace: str, *, clients: bytes = b"") -> dict[str, Any]:
        """As a Kubernetes Secret for a Gateway's credentialName; `clients` is the authority of client certificates."""
        data = {"tls.crt": self.certificate, "tls.key": self.key} | ({"ca.crt": clients} if clients else {})
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/tls",
            "metadata": {"name": name, "namespace": namespace},
            "data": {field: base64.b64encode(value).decode() for field, value in data.items()},
        }


def issue(host: str) -> ServerCertificate:
    """A new authority, and a certificate for a host signed by it; both good for an hour."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    name = "a test's authority"
    authority = _build(name, authority_key, authority_key, _named(name), host=None)
    certificate = _build(host, key, authority_key, _named(name), host=host)
    return ServerCertificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        _pem(key),
        authority.public_bytes(serialization.Encoding.PEM),
    )


def signed_by(certificate: bytes, key: bytes, name: str) -> ServerCertificate:
    """A certificate for a name, signed by an authority that is there already (PEM)."""
    authority, signer = x509.load_pem_x509_certificate(certificate), serialization.load_pem_private_key(key, None)
    assert isinstance(signer, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    own = ec.generate_private_key(ec.SECP256R1())
    made = _build(name, own, signer, authority.subject, host=name)
    return ServerCertificate(made.public_bytes(serialization.Encoding.PEM), _pem(own), certificate)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    form, unencrypted = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, unencrypted)


def _named(subject: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])


def _build(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    issuer: x509.Name,
    host: str | None,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(_named(subject))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if host is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(signer, hashes.SHA256())
