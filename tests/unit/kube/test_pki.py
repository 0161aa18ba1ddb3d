"""The lab's certificates: trusted by OpenSSL's strict mode, kept across restarts, remade when they no longer fit."""

from __future__ import annotations

import asyncio
import base64
import ssl
from pathlib import Path

import pytest
import yaml
from cryptography import x509

from mesh_lab.kube import pki


async def _handshake(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> dict[str, object] | None:
    """The client's certificate as the server sees it."""
    seen: asyncio.Future[dict[str, object] | None] = asyncio.get_running_loop().create_future()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(writer.get_extra_info("peercert"))
        writer.close()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=server)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client, server_hostname=name)
        try:
            return await asyncio.wait_for(seen, 5)
        finally:
            writer.close()


def _client(made: pki.Pki) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=made.authority_pem)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    return context


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1"])
async def test_a_strict_client_trusts_the_server_under_each_of_its_names(tmp_path: Path, name: str) -> None:
    made = pki.ensure(tmp_path, ["10.96.0.1"])
    assert not await _handshake(made.server_context(), _client(made), name)  # and it showed no certificate of its own


async def test_a_name_outside_the_certificate_is_refused(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path)
    with pytest.raises(ssl.SSLCertVerificationError):
        await _handshake(made.server_context(), _client(made), "10.96.0.1")


async def test_the_server_sees_the_administrators_certificate(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path)
    client = _client(made)
    client.load_cert_chain(made.admin.certificate, made.admin.key)
    seen = await _handshake(made.server_context(), client, "localhost")
    assert seen is not None
    assert seen["subject"] == ((("organizationName", "system:masters"),), (("commonName", "kubernetes-admin"),))


def test_everything_is_kept_across_restarts(tmp_path: Path) -> None:
    first = pki.ensure(tmp_path, ["10.244.0.1"])
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    second = pki.ensure(tmp_path, ["10.244.0.1"])
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    assert first == second


def test_a_new_name_remakes_only_the_server_certificate(tmp_path: Path) -> None:
    pki.ensure(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    made = pki.ensure(tmp_path, ["10.244.0.1"])
    changed = {file.name for file in tmp_path.iterdir() if file.read_bytes() != before[file.name]}
    assert changed == {"server.crt", "server.key"}
    names = x509.load_pem_x509_certificate(made.server.certificate.read_bytes()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert "10.244.0.1" in [str(ip) for ip in names.value.get_values_for_type(x509.IPAddress)]


def test_a_lost_authority_causes_new_certificates(tmp_path: Path) -> None:
    pki.ensure(tmp_path)
    (tmp_path / "ca.key").unlink()
    made = pki.ensure(tmp_path)
    authority = x509.load_pem_x509_certificate(made.authority.read_bytes())
    for pair in (made.server, made.admin):
        x509.load_pem_x509_certificate(pair.certificate.read_bytes()).verify_directly_issued_by(authority)


@pytest.mark.parametrize("name", ["ca.crt", "server.key", "service-accounts.key"])
def test_a_broken_file_is_named(tmp_path: Path, name: str) -> None:
    pki.ensure(tmp_path)
    (tmp_path / name).write_text("scribble")
    with pytest.raises(pki.PkiError, match=name):
        pki.ensure(tmp_path)


def test_keys_are_readable_only_by_their_owner(tmp_path: Path) -> None:
    pki.ensure(tmp_path / "pki")
    assert (tmp_path / "pki").stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "pki").iterdir()} == {0o600}


def test_the_kubeconfig_embeds_its_keys_and_is_private(tmp_path: Path) -> None:
    made = pki.ensure(tmp_path / "pki")
    path = tmp_path / "kubeconfig"
    pki.write_kubeconfig(path, made, name="mesh-lab", server="https://127.0.0.1:6443")
    config = yaml.safe_load(path.read_text())
    assert path.stat().st_mode & 0o777 == 0o600
    assert config["current-context"] == "mesh-lab"
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:6443"
    certificate = base64.b64decode(config["users"][0]["user"]["client-certificate-data"])
    assert certificate == made.admin.certificate.read_bytes()
