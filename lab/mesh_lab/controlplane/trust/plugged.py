"""The Secret `cacerts`: an authority that a user supplies, in the two forms that Istio takes.

https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/ and `detectSigningCABundle` of istiod.
"""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.trust.ca import Authority

SECRET = "cacerts"
_LONGEST_CHAIN = 8


class UnusableRootError(ValueError):
    """The Secret is there and holds no authority."""


class Form(NamedTuple):
    """The keys of the Secret, by their meaning. `chain` is what follows a leaf, from the signing certificate on."""

    certificate: str
    key: str
    roots: str
    chain: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All keys, once each."""
        return tuple(dict.fromkeys((self.certificate, self.key, self.roots, *self.chain)))


_TLS = Form("tls.crt", "tls.key", "ca.crt", ("tls.crt", "ca.crt"))
_ISTIO = Form("ca-cert.pem", "ca-key.pem", "root-cert.pem", ("cert-chain.pem",))


def authority_in(secret: Object) -> Authority | None:
    """The authority in the Secret; None where it has none of the keys.

    Raises:
        UnusableRootError: a key is missing, cannot be read, or the parts do not belong together.
    """
    data = secret.get("data") or {}
    form = _TLS if _TLS.certificate in data else _ISTIO
    if not any(name in data for name in form.names):
        return None
    missing = [name for name in form.names if not data.get(name)]
    if missing:
        raise UnusableRootError(f"Secret {SECRET} has no {', '.join(missing)}")
    try:
        parts = {name: _pem(name, data[name]) for name in form.names}
        chain = b"".join(_ended(parts[name]) for name in form.chain)
        authority = Authority(parts[form.certificate], parts[form.key], parts[form.roots], chain)
        _verify(authority, form, datetime.now(UTC))
    except (ValueError, TypeError, binascii.Error) as error:
        raise UnusableRootError(f"Secret {SECRET} cannot be used as an authority: {error}") from None
    return authority


def _pem(name: str, encoded: str) -> bytes:
    pem = base64.b64decode(encoded)
    if b"-----BEGIN " not in pem:
        raise ValueError(f"{name} is no PEM")
    return pem


def _ended(pem: bytes) -> bytes:
    return pem if pem.endswith(b"\n") else pem + b"\n"


def _verify(authority: Authority, form: Form, now: datetime) -> None:
    """Raise ValueError unless the chain leads from the signing certificate to a root, and all of it is valid now."""
    roots = x509.load_pem_x509_certificates(authority.roots)
    chain = x509.load_pem_x509_certificates(authority.chain)
    current = x509.load_pem_x509_certificate(authority.certificate)
    if current not in [*chain, *roots]:
        raise ValueError(f"{form.chain[0]} does not have the certificate of {form.certificate} in it")
    for _ in range(_LONGEST_CHAIN):
        if not current.not_valid_before_utc <= now <= current.not_valid_after_utc:
            name, until = current.subject.rfc4514_string(), current.not_valid_after_utc
            raise ValueError(f"the certificate of {name!r} is valid from {current.not_valid_before_utc} to {until}")
        if current in roots:
            return
        issuer = next((each for each in [*roots, *chain] if _issued(current, each)), None)
        if issuer is None:
            break
        current = issuer
    raise ValueError(f"no chain in {' and '.join(form.chain)} leads from {form.certificate} to a root of {form.roots}")


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
