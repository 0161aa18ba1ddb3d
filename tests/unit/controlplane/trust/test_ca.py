"""Certificates are what verifiers ask for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from cryptography.x509.verification import PolicyBuilder, Store

from mesh_lab.controlplane.trust.ca import CLOCK_SKEW, Authority

PRINCIPAL = "spiffe://cluster.local/ns/default/sa/reviews"
DAY = timedelta(days=1)


def test_a_workload_certificate_has_its_identity_as_its_only_name() -> None:
    authority = Authority.create("cluster.local")
    leaf = authority.issue_workload(PRINCIPAL, DAY)
    certificate = x509.load_pem_x509_certificate(leaf.chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier(PRINCIPAL)]
    assert names.critical, "there is no subject: RFC 5280, 4.2.1.6"
    assert not list(certificate.subject)
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}


def test_a_server_certificate_is_verified_against_the_root() -> None:
    authority = Authority.create("cluster.local")
    leaf = authority.issue_server(("istiod.istio-system.svc",), DAY)
    verifier = (
        PolicyBuilder()
        .store(Store(x509.load_pem_x509_certificates(authority.roots)))
        .build_server_verifier(x509.DNSName("istiod.istio-system.svc"))
    )
    assert len(verifier.verify(x509.load_pem_x509_certificate(leaf.chain), [])) == 2


def test_a_leaf_says_by_its_key_identifier_which_root_it_is_of() -> None:
    old, new = Authority.create("cluster.local"), Authority.create("cluster.local")
    roots = x509.load_pem_x509_certificates(old.roots + new.roots)
    leaf = x509.load_pem_x509_certificate(new.issue_workload(PRINCIPAL, DAY).chain)
    asked = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    held = [root.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest for root in roots]
    assert roots[0].subject == roots[1].subject
    assert [digest == asked for digest in held] == [False, True]


def test_half_of_its_life_is_when_it_is_renewed() -> None:
    leaf = Authority.create("cluster.local").issue_workload(PRINCIPAL, timedelta(seconds=10))
    assert leaf.renew_at - leaf.issued == timedelta(seconds=5)
    certificate = x509.load_pem_x509_certificate(leaf.chain)
    assert certificate.not_valid_before_utc <= datetime.now(UTC) - CLOCK_SKEW + timedelta(seconds=1)


def test_no_leaf_outlives_its_authority() -> None:
    authority = Authority.create("cluster.local", life=timedelta(hours=1))
    leaf = authority.issue_workload(PRINCIPAL, DAY)
    root = x509.load_pem_x509_certificate(authority.certificate)
    assert x509.load_pem_x509_certificate(leaf.chain).not_valid_after_utc == root.not_valid_after_utc


def test_an_authority_is_what_was_stored_of_it() -> None:
    first = Authority.create("cluster.local")
    again = Authority(first.certificate, first.key, first.roots)
    certificate = x509.load_pem_x509_certificate(again.issue_workload(PRINCIPAL, DAY).chain)
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(first.certificate))


def test_a_key_of_another_certificate_and_a_leaf_are_no_authority() -> None:
    one, other = Authority.create("cluster.local"), Authority.create("cluster.local")
    with pytest.raises(ValueError, match="RSA or elliptic-curve key of its certificate"):
        Authority(one.certificate, other.key)
    leaf = one.issue_workload(PRINCIPAL, DAY)
    with pytest.raises(ValueError, match="not that of an authority"):
        Authority(leaf.chain, leaf.key)


def test_private_keys_do_not_show() -> None:
    leaf = Authority.create("cluster.local").issue_workload(PRINCIPAL, DAY)
    assert "PRIVATE" not in repr(leaf)


@pytest.mark.parametrize("length", [1, 108, 109, 237, 238, 65536])
def test_a_leaf_may_describe_its_workload_at_any_length_beside_its_identity(length: int) -> None:
    described = "|".join(("w" * length, "default", "reviews", "v1"))
    leaf = Authority.create("cluster.local").issue_workload(PRINCIPAL, DAY, described)
    certificate = x509.load_pem_x509_certificate(leaf.chain)
    assert not list(certificate.subject), "Istio's have none, and applications see it"
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [PRINCIPAL]
    assert not names.get_values_for_type(x509.DNSName)
    (other,) = names.get_values_for_type(x509.OtherName)
    size = len(described)
    header, content = other.value[:-size], other.value[-size:]
    assert content == described.encode()
    assert header[0] == 12
    assert int.from_bytes(header[2:] or header[1:], "big") == size
    assert header[1] == (128 + len(header[2:]) if header[2:] else size)
