"""TLS at the ingress gateway: certificates that clients may show, oldest versions, what passes to sidecars by SNI."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import pytest
from cryptography import x509

from mesh_lab.testing import Mesh, Object, Reference, TrafficClient, assert_all, gateway, route, to, virtual_service

from .certificates import ServerCertificate, issue

GATEWAYS = "istio-system"
INGRESS = "istio-ingressgateway.istio-system"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    outside.deploy_client("visitor")
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


@pytest.fixture(scope="module")
def host(shop: Mesh) -> str:
    """A host name of this run's own: other tests use the same gateway."""
    return f"{shop.namespace}.example"


@pytest.fixture
def certificate(shop: Mesh, host: str) -> Iterator[ServerCertificate]:
    issued = issue(host)
    shop.api.apply(issued.secret(host, GATEWAYS))
    yield issued
    shop.api.delete(Reference("v1", "Secret", host, GATEWAYS))


def server(host: str, **tls: str) -> Object:
    port = {"number": 443, "name": f"https-{host.partition('.')[0]}", "protocol": "HTTPS"}
    return {"port": port, "hosts": [host], "tls": {"credentialName": host, **tls}}


def routed(host: str) -> Object:
    return virtual_service(host, route(to("echo", port=80)), name="front", gateways=["front"])


def trusting(host: str, issued: ServerCertificate) -> Object:
    pem = issued.authority.decode()
    return {"server_name": host, "headers": {"host": host}, "ca_pem": pem, "new_connections": True}


def test_a_client_may_show_a_certificate_and_it_has_to_be_a_good_one(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: ServerCertificate
) -> None:
    known, stranger = issue("a client"), issue("a client")
    shop.api.apply(certificate.secret(host, GATEWAYS, clients=known.authority))
    trust = trusting(host, certificate)
    with shop.applied([gateway("front", server(host, mode="OPTIONAL_MUTUAL")), routed(host)]):
        assert_all(visitor.send(f"https://{INGRESS}/", 3, **trust))
        assert_all(visitor.send(f"https://{INGRESS}/", 3, certificate_pem=known.shown, **trust))
        assert visitor.send(f"https://{INGRESS}/", certificate_pem=stranger.shown, **trust)[0].status == 0


def handshake(outside: Mesh, host: str, newest: str) -> str:
    """What becomes of a handshake with nothing newer than a version: that version, or the error's name."""
    program = (
        "import socket, ssl; context = ssl._create_unverified_context();"
        f"context.maximum_version = ssl.TLSVersion.{newest};"
        f"connection = socket.create_connection(('{INGRESS}', 443), 5);"
        f"print(context.wrap_socket(connection, server_hostname='{host}').version())"
    )
    name = outside.pod("visitor")["metadata"]["name"]
    return outside.exec(name, "sh", "-c", f'python3 -c "{program}" 2>&1 || true')


@pytest.mark.usefixtures("certificate")
def test_versions_of_tls_older_than_the_minimum_are_refused(shop: Mesh, outside: Mesh, host: str) -> None:
    with shop.applied([gateway("front", server(host, mode="SIMPLE", minProtocolVersion="TLSV1_3")), routed(host)]):
        assert handshake(outside, host, "TLSv1_3").strip() == "TLSv1.3"
        assert "SSLError" in handshake(outside, host, "TLSv1_2")
    with shop.applied([gateway("front", server(host, mode="SIMPLE")), routed(host)]):
        assert handshake(outside, host, "TLSv1_2").strip() == "TLSv1.2"


def test_tls_that_names_a_service_by_sni_passes_to_its_sidecar(shop: Mesh, outside: Mesh) -> None:
    """AUTO_PASSTHROUGH: the certificate that comes back is that of the server's own identity."""
    name = f"outbound_.80_._.echo.{shop.namespace}.svc.cluster.local"
    listened = {
        "port": {"number": 443, "name": f"tls-{shop.namespace}", "protocol": "TLS"},
        "hosts": [f"*.{shop.namespace}.svc.cluster.local"],
        "tls": {"mode": "AUTO_PASSTHROUGH"},
    }
    program = (
        "import socket, ssl; context = ssl._create_unverified_context(); context.set_alpn_protocols(['istio']);"
        f"connection = context.wrap_socket(socket.create_connection(('{INGRESS}', 443), 5), server_hostname='{name}');"
        "print(ssl.DER_cert_to_PEM_cert(connection.getpeercert(True)))"
    )
    visitor = outside.pod("visitor")["metadata"]["name"]
    with shop.applied(gateway("front", listened)):
        pem = outside.exec(visitor, "python3", "-c", program)
    certificate = x509.load_der_x509_certificate(ssl.PEM_cert_to_DER_cert(pem.strip()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    identities = names.get_values_for_type(x509.UniformResourceIdentifier)
    assert identities == [f"spiffe://cluster.local/ns/{shop.namespace}/sa/echo"]
