"""Secrets with certificates, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.controlplane.world import certificates
from mesh_lab.controlplane.world.certificates import TlsSecret, authorities_problem
from mesh_lab.controlplane.world.kubernetes import Origin
from tests.unit.apps.samples.certificates import Authority

ORIGIN = Origin("Secret", "default", "s")


def secret(certificate: bytes, key: bytes) -> TlsSecret:
    return TlsSecret(ORIGIN, "default", "s", certificate, key, b"")


def test_what_is_wrong_with_a_certificate_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    one, two = authority.issue("one.example.com"), authority.issue("two.example.com")
    good = one.certificate.read_bytes()
    assert secret(good, one.key.read_bytes()).problem == ""
    assert secret(good, two.key.read_bytes()).problem == "its key is not the certificate's"
    assert "PEM" in secret(good, b"none").problem
    assert "PEM" in secret(b"none", one.key.read_bytes()).problem
    assert secret(good, b"").problem == "it has no certificate with a key"
    assert authorities_problem(authority.certificate.read_text()) == ""
    assert "PEM" in authorities_problem("none")


def test_a_secret_is_looked_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = Authority(tmp_path, "ca").issue("one.example.com")
    found = secret(files.certificate.read_bytes(), files.key.read_bytes())
    assert found.problem == ""

    def again(*_: object, **__: object) -> None:
        raise AssertionError("the key was checked again")

    monkeypatch.setattr(certificates, "load_pem_private_key", again)
    assert found.problem == ""
