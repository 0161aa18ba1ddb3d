"""The lab's certificate authority and its certificates: the API server's and the administrator's.

All of it lives in `STATE_DIR/pki`, is made once and kept, so that a kubeconfig outlives a restart. Certificates are
remade when they near their end, no longer fit the authority, or lack a name. Key identifiers and key usages are set,
since OpenSSL's strict mode (Python 3.13's default) demands them.
"""

from __future__ import annotations

import base64
import ipaddress
import os
import secrets
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    "127.0.0.1",
    "::1",
)
ADMIN = "kubernetes-admin"
ADMIN_GROUP = "system:masters"
_AUTHORITY_LIFE = timedelta(days=3650)
_LEAF_LIFE = timedelta(days=365)
_RENEW_BEFORE = timedelta(days=30)
_LONGEST_NAME = 64  # of a subject, in characters; the names that count are elsewhere
_CLOCK_SKEW = timedelta(minutes=5)


class PkiError(Exception):
    """A key or certificate on disk cannot be used; the message names the file and the way out."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key on disk, both PEM."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """What the API server and its clients need to trust each other."""

    authority: Path
    server: Pair
    admin: Pair
    signing_key: bytes

    @property
    def authority_pem(self) -> str:
        """The authority's certificate: the `ca.crt` of kubeconfigs and of pods."""
        return self.authority.read_text()

    def server_context(self) -> ssl.SSLContext:
        """TLS for the API server: shows the server certificate, and checks a client's when it has one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(self.server.certificate, self.server.key)
        context.load_verify_locations(self.authority)
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        return context


def ensure(directory: Path, names: Sequence[str] = ()) -> Pki:
    """The lab's keys and certificates in `directory`, made as far as they are missing or no longer fit.

    `names` are host names and addresses by which the API server is reached beside `SERVER_NAMES`.

    Raises:
        PkiError: a file is there and cannot be read as what it should be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o700)
    authority = ensure_authority(directory, "mesh-lab kubernetes")
    server = _ensure_leaf(
        directory,
        "server",
        authority,
        _name("kube-apiserver"),
        ExtendedKeyUsageOID.SERVER_AUTH,
        (*SERVER_NAMES, *names),
    )
    admin = _ensure_leaf(directory, "admin", authority, _name(ADMIN, ADMIN_GROUP), ExtendedKeyUsageOID.CLIENT_AUTH, ())
    signing = directory / "service-accounts.key"
    if not signing.exists():
        _write(signing, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    _load_key(signing)
    return Pki(directory / "ca.crt", server, admin, signing.read_bytes())


def write_kubeconfig(path: Path, pki: Pki, *, name: str, server: str) -> None:
    """Write the administrator's kubeconfig, readable by its owner only; cluster, user and context are called `name`.

    `server` is the URL. The client certificate is embedded, so that the file works wherever it is copied.
    """
    import yaml

    def embedded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": embedded(pki.authority)}}
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": embedded(pki.admin.certificate),
                    "client-key-data": embedded(pki.admin.key),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "default"}}],
        "preferences": {},
    }
    _write(path, yaml.safe_dump(config, sort_keys=False).encode())


@dataclass(frozen=True)
class Authority:
    """A certificate authority: its certificate, and the key that it signs with."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    def issue(self, hosts: Sequence[str]) -> tuple[bytes, bytes]:
        """Return a new server's certificate for these names, which is named after the first, and its key, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _leaf(self, _name(hosts[0][:_LONGEST_NAME]), key, ExtendedKeyUsageOID.SERVER_AUTH, hosts)
        return certificate.public_bytes(Encoding.PEM), _key_pem(key)


def ensure_authority(directory: Path, common_name: str) -> Authority:
    """Return the authority in `directory`, made when it is missing or near its end.

    Raises:
        PkiError: a file is there and cannot be read as what it should be.
    """
    certificate_file, key_file = directory / "ca.crt", directory / "ca.key"
    if certificate_file.exists() and key_file.exists():
        certificate, key = _load_certificate(certificate_file), _load_key(key_file)
        if certificate.public_key() != key.public_key():
            raise PkiError(
                f"{certificate_file}: does not belong to {key_file}; remove {directory} to have both made anew"
            )
        if _fresh(certificate):
            return Authority(certificate, key)
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
    certificate = (
        _builder(name, name, key.public_key(), _AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    _write(key_file, _key_pem(key))
    _write(certificate_file, certificate.public_bytes(Encoding.PEM))
    return Authority(certificate, key)


def _ensure_leaf(
    directory: Path,
    stem: str,
    authority: Authority,
    name: x509.Name,
    purpose: x509.ObjectIdentifier,
    hosts: Sequence[str],
) -> Pair:
    pair = Pair(directory / f"{stem}.crt", directory / f"{stem}.key")
    hosts = list(dict.fromkeys(hosts))
    if pair.certificate.exists() and pair.key.exists():
        present = _load_certificate(pair.certificate)
        belongs = present.public_key() == _load_key(pair.key).public_key() and _signed_by(present, authority)
        if belongs and _fresh(present) and _hosts(present) == hosts:
            return pair
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _leaf(authority, name, key, purpose, hosts)
    _write(pair.key, _key_pem(key))
    _write(pair.certificate, certificate.public_bytes(Encoding.PEM))
    return pair


def _leaf(
    authority: Authority,
    name: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    purpose: x509.ObjectIdentifier,
    hosts: Sequence[str],
) -> x509.Certificate:
    builder = (
        _builder(name, authority.certificate.subject, key.public_key(), _LEAF_LIFE)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
    )
    if hosts:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False
        )
    return builder.sign(authority.key, hashes.SHA256())


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _name(common_name: str, organisation: str = "") -> x509.Name:
    parts = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation:
        parts.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(parts)


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _hosts(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names]


def _signed_by(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _fresh(certificate: x509.Certificate) -> bool:
    return certificate.not_valid_after_utc - datetime.now(UTC) > _RENEW_BEFORE


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise PkiError(f"{path}: not a certificate in PEM; remove it to have a new one made") from error


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except (ValueError, TypeError) as error:
        raise PkiError(f"{path}: not a private key in PEM; remove it to have a new one made") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise PkiError(f"{path}: not an elliptic-curve key; remove it to have a new one made")
    return key


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes) -> None:
    """Replace the file at once or not at all, with mode 0600."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
