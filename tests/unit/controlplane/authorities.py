"""Authorities as a user makes them for the Secret `cacerts`: a root, and an intermediate that signs in its name."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Signer:
    """A certificate with its key."""

    certificate: x509.Certificate
    private: PrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key(self) -> bytes:
        """The key, as `openssl genrsa` writes it."""
        return self.private.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def signer(name: str, by: Signer | None = None, *, kind: str = "rsa", ca: bool = True, days: int = 1) -> Signer:
    """A certificate, self-signed unless `by` another; one of fewer than no days has expired."""
    private: PrivateKey = ec.generate_private_key(ec.SECP256R1())
    if kind == "rsa":
        private = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    issuer = by.certificate.subject if by else subject
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=9))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .sign(by.private if by else private, SHA256())
    )
    return Signer(certificate, private)


def secret(data: dict[str, bytes], name: str = "cacerts") -> dict[str, Any]:
    """A Secret of istiod's namespace."""
    encoded = {key: base64.b64encode(content).decode() for key, content in data.items()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system", "uid": "u"},
        "data": encoded,
    }


def istio_form(signing: Signer, root: Signer, chain: bytes | None = None) -> dict[str, bytes]:
    """As Istio's tools write it."""
    return {
        "ca-cert.pem": signing.pem,
        "ca-key.pem": signing.key,
        "root-cert.pem": root.pem,
        "cert-chain.pem": signing.pem + root.pem if chain is None else chain,
    }
