"""What the control plane reads of Secrets: certificates, keys and authorities, all PEM."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from mesh_lab.controlplane.world.kubernetes import Object, Origin, origin_of


@dataclass(frozen=True, eq=False)
class TlsSecret:
    """A Secret that a Gateway may name: PEM. `ca` is empty where clients need no certificate; `crl` those revoked."""

    origin: Origin
    namespace: str
    name: str
    certificate: bytes
    private_key: bytes
    ca: bytes
    crl: bytes = b""

    @cached_property
    def problem(self) -> str:
        """What is wrong with the certificate and its key; empty when nothing is.

        Looked at once for each version of the Secret: to check an RSA key takes some 50 ms.
        """
        if not (self.certificate and self.private_key):
            return "it has no certificate with a key"
        try:
            certificate = x509.load_pem_x509_certificates(self.certificate)[0]
            key = load_pem_private_key(self.private_key, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            return f"it is no certificate with a key in PEM: {error}"
        return "" if certificate.public_key() == key.public_key() else "its key is not the certificate's"


def authorities_problem(pem: str) -> str:
    """What is wrong with the certificates of authorities; empty when nothing is."""
    try:
        x509.load_pem_x509_certificates(pem.encode())
    except ValueError as error:
        return f"it has no certificates in PEM: {error}"
    return ""


# A Secret's keys by meaning, the first that is there wins: kubernetes.io/tls, then Istio's generic form.
_CERTIFICATE_KEYS = ("tls.crt", "cert")
_PRIVATE_KEY_KEYS = ("tls.key", "key")
_CA_KEYS = ("ca.crt", "cacert")
_CRL_KEYS = ("ca.crl", "crl")


def tls_secret(obj: Object) -> TlsSecret | None:
    """The view of a Secret that holds a certificate or an authority; None for any other."""
    data = obj.get("data") or {}
    certificate, private_key, authority, revoked = (
        next((base64.b64decode(data[key]) for key in keys if data.get(key)), b"")
        for keys in (_CERTIFICATE_KEYS, _PRIVATE_KEY_KEYS, _CA_KEYS, _CRL_KEYS)
    )
    if not authority and not (certificate and private_key):
        return None
    meta = obj["metadata"]
    return TlsSecret(
        origin_of("Secret", obj), meta.get("namespace", ""), meta["name"], certificate, private_key, authority, revoked
    )
