"""The mesh's certificate authority: its root, and the leaves it issues.

Keys are P-256, but for the key of an authority that a user supplies, which may be RSA. Each certificate carries subject
and authority key identifiers: while a root is being replaced there are two of one name, and without identifiers Envoy
may take the wrong one and reject a good leaf. To replace a root: add the new one to `roots`, then sign with it, then
drop the old one, each after the proxies have the step before. Nothing here touches a disk or the network; private keys
are never logged and `repr` leaves them out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

E = TypeVar("E", bound=x509.ExtensionType)

ROOT_LIFE = timedelta(days=3650)
# Clocks differ from node to node: a certificate is good from a little before it was made, as Istio's are.
CLOCK_SKEW = timedelta(minutes=2)
_NO_NAME = x509.Name([])
# An identifier made of a UUID, which needs no registration: https://www.itu.int/rec/T-REC-X.667
DESCRIPTION = x509.ObjectIdentifier("2.25.124767610006760382523362204565976675067")
"""The kind of the name that describes a workload."""


@dataclass(frozen=True)
class Leaf:
    """A certificate with its key (PEM). `chain` is the leaf and any intermediates, without the root."""

    chain: bytes
    key: bytes = field(repr=False)
    serial: int
    issued: datetime
    expires: datetime

    @property
    def renew_at(self) -> datetime:
        """Half of its life: a proxy gets the next one then."""
        return self.issued + (self.expires - self.issued) / 2


class Authority:
    """Issues leaves under one signing certificate; `roots` (PEM, one or more) is what verifiers trust.

    `chain` (PEM) is what follows a leaf: the signing certificate and those above it, unless that is a root itself.
    """

    def __init__(self, certificate: bytes, key: bytes, roots: bytes = b"", chain: bytes = b"") -> None:
        """Check the authority.

        Raises:
            ValueError: the PEM cannot be read, the key is not the certificate's, or it is no authority.
        """
        private = load_pem_private_key(key, password=None)
        self._certificate = x509.load_pem_x509_certificate(certificate)
        public = self._certificate.public_key()
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or private.public_key() != public:
            raise ValueError("the authority's key must be the RSA or elliptic-curve key of its certificate")
        self._key = private
        constraints = _extension(self._certificate, x509.BasicConstraints)
        if constraints is None or not constraints.ca:
            raise ValueError("the authority's certificate is not that of an authority")
        x509.load_pem_x509_certificates(roots or certificate)
        self.certificate = certificate
        self.key = key
        self.roots = roots or certificate
        self.chain = chain or (b"" if self._certificate.subject == self._certificate.issuer else certificate)

    @property
    def trusted(self) -> frozenset[bytes]:
        """The roots, each in DER."""
        certificates = x509.load_pem_x509_certificates(self.roots)
        return frozenset(each.public_bytes(Encoding.DER) for each in certificates)

    @classmethod
    def create(cls, organization: str, life: timedelta = ROOT_LIFE) -> Authority:
        """A new self-signed root."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)])
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(now + life)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(authority=True), critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
                critical=False,
            )
            .sign(key, SHA256())
        )
        return cls(certificate.public_bytes(Encoding.PEM), _pem(key))

    def issue_workload(self, principal: str, life: timedelta, described: str = "") -> Leaf:
        """A leaf whose only identifying name is a SPIFFE identity, good as client and as server.

        `described` stands beside it as a name of a kind of its own, which only the mesh reads. The subject is empty.
        https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
        """
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(principal)]
        if described:
            names.append(x509.OtherName(DESCRIPTION, _utf8_string(described)))
        return self._issue(names, life)

    def issue_server(self, dns_names: tuple[str, ...], life: timedelta) -> Leaf:
        """A leaf for a server of these DNS names."""
        return self._issue([x509.DNSName(name) for name in dns_names], life)

    def _issue(self, names: list[x509.GeneralName], life: timedelta) -> Leaf:
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.now(UTC)
        serial = x509.random_serial_number()
        # A leaf that outlived its authority would fail at once, for a reason that its own dates do not show.
        expires = min(now + life, self._certificate.not_valid_after_utc)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_NO_NAME)
            .issuer_name(self._certificate.subject)
            .public_key(key.public_key())
            .serial_number(serial)
            .not_valid_before(now - CLOCK_SKEW)
            .not_valid_after(expires)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_authority_identifier(self._certificate), critical=False)
            .sign(self._key, SHA256())
        )
        return Leaf(certificate.public_bytes(Encoding.PEM) + self.chain, _pem(key), serial, now, expires)


def _utf8_string(text: str) -> bytes:
    """Text as DER has it: the tag, the length (from 128 on, how many bytes it takes before it), the content."""
    content = text.encode()
    size = len(content)
    if size < 128:
        return bytes((0x0C, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((0x0C, 0x80 | len(length))) + length + content


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not authority,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = _extension(certificate, x509.SubjectKeyIdentifier)
    if identifier is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)


def _extension(certificate: x509.Certificate, kind: type[E]) -> E | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
