"""The mesh's authority: one that is plugged in, and a root that takes another's place while requests go on.

https://istio.io/latest/docs/tasks/security/cert-management/plugin-ca-cert/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509

from mesh_lab.testing import (
    Mesh,
    Object,
    Reference,
    assert_no_errors,
    destination_rule,
    eventually,
)
from tests.unit.controlplane.authorities import Signer, istio_form, secret, signer

pytestmark = [pytest.mark.mesh_exclusive, pytest.mark.mesh_clusters("embedded")]
SYSTEM = "istio-system"
ISTIOD = Reference("apps/v1", "Deployment", "istiod", SYSTEM)
PLUGGED = Reference("v1", "Secret", "cacerts", SYSTEM)
OWN = Reference("v1", "Secret", "istio-ca-secret", SYSTEM)
SECONDS = 60


@pytest.fixture(scope="module")
def system(mesh_in: Callable[[str], Mesh]) -> Mesh:
    return mesh_in(SYSTEM)


@pytest.fixture
def own_root_after(system: Mesh) -> Iterator[Mesh]:
    """The mesh has its own root again when the test ends."""
    yield system
    if system.api.find(PLUGGED) is not None:
        system.api.delete(PLUGGED)
    _restart(system)


def test_a_root_takes_the_place_of_another_and_no_request_is_lost(own_root_after: Mesh, mesh: Mesh) -> None:
    system, before = own_root_after, _own(own_root_after)
    old = before["ca-cert.pem"]
    root = signer("new root")
    signing = signer("new intermediate", root)

    # Who signs stays, and both roots are trusted: by all proxies at once, also of istiod by those that start from now.
    _plug(system, {**before, "root-cert.pem": old + root.pem, "cert-chain.pem": old})
    _restart(system)
    mesh.deploy_echo("echo")
    client = mesh.deploy_client()
    # One request a connection: each is a handshake, with the certificates of its moment.
    mesh.apply(destination_rule("echo", "v1", policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}))
    mesh.ready()
    mesh.wait_endpoints("echo", 1)
    _wait_until_trusted(mesh, old + root.pem)
    with client.sending("http://echo", 20_000, rate=60, concurrency=10) as under_way:
        _plug(system, {**istio_form(signing, root), "root-cert.pem": old + root.pem})
        _wait_until_shown(mesh, signing)
        _plug(system, istio_form(signing, root))
        _restart(system)
        _wait_until_trusted(mesh, root.pem)
        results = under_way.stop()
    assert_no_errors(results)
    assert len(results) > 100, "requests were on their way all the while"
    leaf, *above = _shown(mesh, "echo")
    assert above == [signing.certificate, root.certificate], "the chain is that of cert-chain.pem"
    leaf.verify_directly_issued_by(signing.certificate)
    mesh.wait_live(Reference("networking.istio.io/v1", "DestinationRule", "echo", mesh.namespace))


def _own(system: Mesh) -> dict[str, bytes]:
    """The parts of the authority that istiod made for itself."""
    data = system.api.get(OWN)["data"]
    return {name: base64.b64decode(data[name]) for name in ("ca-cert.pem", "ca-key.pem", "root-cert.pem")}


def _plug(system: Mesh, parts: dict[str, bytes]) -> None:
    authority = secret(parts)
    del authority["metadata"]["uid"]
    system.api.apply(authority)


def _restart(system: Mesh) -> None:
    system.api.kubectl("-n", SYSTEM, "rollout", "restart", "deployment/istiod")
    system.api.kubectl("-n", SYSTEM, "rollout", "status", "deployment/istiod", f"--timeout={SECONDS}s")


def _wait_until_trusted(mesh: Mesh, roots: bytes) -> None:
    wanted = set(x509.load_pem_x509_certificates(roots))

    def trusted() -> bool:
        return all(set(_certificates(mesh, app, "ROOTCA")) == wanted for app in ("client", "echo"))

    eventually(trusted, timeout=SECONDS, why="both proxies trust these roots and no other")


def _wait_until_shown(mesh: Mesh, by: Signer) -> None:
    def shown() -> bool:
        return all(_shown(mesh, app)[0].issuer == by.certificate.subject for app in ("client", "echo"))

    eventually(shown, timeout=SECONDS, why="both proxies show certificates of the new signer")


def _shown(mesh: Mesh, app: str) -> list[x509.Certificate]:
    """What a proxy shows of itself: its certificate, and those above it."""
    return _certificates(mesh, app, "default")


def _certificates(mesh: Mesh, app: str, name: str) -> list[x509.Certificate]:
    dump: Object = json.loads(mesh.proxy(app).admin("/config_dump?resource=dynamic_active_secrets"))
    (found,) = (each["secret"] for each in dump["configs"] if each["name"] == name)
    part = found.get("tls_certificate", {}).get("certificate_chain") or found["validation_context"]["trusted_ca"]
    return x509.load_pem_x509_certificates(base64.b64decode(part["inline_bytes"]))
