"""Secrets and ConfigMaps that Gateways name: whether they hold what they should.

Envoy would reject a listener for a broken certificate, so it is looked at before.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mesh_lab.controlplane.world.certificates import TlsSecret
from mesh_lab.controlplane.xds.memo import memoised


@memoised
def problem_of(secret: TlsSecret) -> str:
    """What is wrong with a Secret's certificate and key; empty when nothing is."""
    if not (secret.certificate and secret.private_key):
        return "it has no certificate with a key"
    try:
        certificate = x509.load_pem_x509_certificates(secret.certificate)[0]
        key = load_pem_private_key(secret.private_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        return f"it is no certificate with a key in PEM: {error}"
    return "" if certificate.public_key() == key.public_key() else "its key is not the certificate's"


@memoised
def authority_problem(pem: str) -> str:
    """What is wrong with the certificates of authorities; empty when nothing is."""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        return f"it has no certificates in PEM: {error}"
    return ""
