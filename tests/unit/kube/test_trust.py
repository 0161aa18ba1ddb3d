"""What containers trust: the machine's authorities, and that of the lab's own internet."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from mesh_lab.kube import trust

SOME = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's bundle of authorities."""
    bundle = tmp_path / "machine.crt"
    bundle.write_text(SOME)
    monkeypatch.setattr(trust, "_OF_THE_MACHINE", (str(tmp_path / "none.crt"), str(bundle)))
    return bundle


def test_the_bundle_has_both_and_everybody_may_read_it(tmp_path: Path, machine: Path) -> None:
    authority = trust.ensure(tmp_path / "state")
    source, _ = trust.mount(tmp_path / "state")
    bundle = Path(source) if Path(source).is_file() else Path(source, "ca-certificates.crt")
    assert bundle.read_text() == machine.read_text() + authority.pem.decode()
    assert bundle.stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "state" / "internet" / "ca.key").stat().st_mode & 0o777 == 0o600


def test_the_authority_stays_the_same_and_a_machine_without_any_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust, "_OF_THE_MACHINE", ())
    first, second = trust.ensure(tmp_path), trust.ensure(tmp_path)
    assert first.pem == second.pem
    ssl.create_default_context(cadata=first.pem.decode())


@pytest.mark.parametrize("there", [True, False])
def test_where_the_machine_has_no_file_of_that_name_the_directory_is_the_labs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    place = tmp_path / "certs" / "ca-certificates.crt"
    place.parent.mkdir()
    if there:
        place.write_text(SOME)
    monkeypatch.setattr(trust, "BUNDLE", str(place))
    own = tmp_path / "internet" / "trusted"
    expected = (own / place.name, place) if there else (own, place.parent)
    assert trust.mount(tmp_path) == tuple(str(path) for path in expected)


def test_a_certificate_is_for_the_names_it_is_issued_for(tmp_path: Path) -> None:
    authority = trust.ensure(tmp_path)
    name = f"*.{'a' * 60}.example"
    certificate, key = authority.issue([name])
    (tmp_path / "pair.pem").write_bytes(certificate + key)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "pair.pem")
