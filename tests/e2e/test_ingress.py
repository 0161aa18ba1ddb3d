"""The ingress gateway: the way in from outside, over HTTP and HTTPS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from mesh_lab.testing import (
    ConfigurationRejected,
    Mesh,
    Object,
    Reference,
    TrafficClient,
    assert_all,
    destination_rule,
    eventually,
    gateway,
    route,
    service,
    to,
    virtual_service,
)

from .certificates import ServerCertificate, issue
from .pods import deployment, shell

GATEWAYS = "istio-system"
INGRESS = "istio-ingressgateway.istio-system"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    mesh_shared.apply(destination_rule("echo", "v1", "v2", export="*"))
    outside.deploy_client("visitor")
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


@pytest.fixture(scope="module")
def host(shop: Mesh) -> str:
    """A host name of this run's own: other tests use the same gateway."""
    return f"{shop.namespace}.example"


def http(host: str) -> Object:
    return {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": [host]}


def https(host: str, secret: str, mode: str = "SIMPLE") -> Object:
    return {
        "port": {"number": 443, "name": f"https-{host.partition('.')[0]}", "protocol": "HTTPS"},
        "hosts": [host],
        "tls": {"mode": mode, "credentialName": secret},
    }


def routes(host: str) -> Object:
    rules = route(to("echo", "v2", port=80), match=[{"uri": {"prefix": "/new"}}]), route(to("echo", "v1", port=80))
    return virtual_service(host, *rules, name="front", gateways=["front"])


@pytest.mark.mesh_feature("ingress/match-path", protocol="http1", api="gateway")
def test_requests_for_its_host_come_in_and_are_routed(shop: Mesh, visitor: TrafficClient, host: str) -> None:
    with shop.applied([gateway("front", http(host)), routes(host)]):
        assert_all(visitor.send(f"http://{INGRESS}/", 10, headers={"host": host}), version="v1")
        assert_all(visitor.send(f"http://{INGRESS}/new", 10, headers={"host": host}), version="v2")
        assert_all(visitor.send(f"http://{INGRESS}/", 3, headers={"host": "other.example"}), status=404)


PORT = '{.spec.ports[?(@.name=="http2")].port}'
NODE_PORT = PORT.replace(".port}", ".nodePort}")
BALANCER = "{.status.loadBalancer.ingress[0].ip}"
HOST_OF_A_POD = "{.items[0].status.hostIP}"
NODE = '{.items[0].status.addresses[?(@.type=="ExternalIP")].address}'


@pytest.mark.mesh_clusters("embedded")
def test_the_ways_in_that_tutorials_look_up_lead_in_from_the_host(shop: Mesh, host: str) -> None:
    def looked_up(path: str, *what: str) -> str:
        return shop.api.kubectl("get", *what, "-o", f"jsonpath={path}")

    service = ("-n", GATEWAYS, "service", "istio-ingressgateway")
    balanced = looked_up(BALANCER, *service), looked_up(PORT, *service)
    host_of_pod = looked_up(HOST_OF_A_POD, "-n", GATEWAYS, "pods", "-l", "istio=ingressgateway")
    number = looked_up(NODE_PORT, *service)
    with shop.applied([gateway("front", http(host)), routes(host)]), requests.Session() as visitor:
        visitor.trust_env = False  # a proxy of this machine does not know the way
        for address, port in (balanced, (looked_up(NODE, "nodes"), number), (host_of_pod, number)):
            answer = visitor.get(f"http://{address}:{port}/new", headers={"Host": host}, timeout=10)
            assert (answer.status_code, answer.json()["version"]) == (200, "v2")


@pytest.mark.mesh_clusters("embedded")
def test_the_load_balancers_address_leads_in_from_pods_with_and_without_a_sidecar(
    shop: Mesh, visitor: TrafficClient, host: str
) -> None:
    shop.deploy_client("caller")
    shop.ready()
    service = ("-n", GATEWAYS, "get", "service", "istio-ingressgateway", "-o")
    address, port = (shop.api.kubectl(*service, f"jsonpath={path}") for path in (BALANCER, PORT))
    with shop.applied([gateway("front", http(host)), routes(host)]):
        for client in (visitor, shop.client("caller")):
            assert_all(client.send(f"http://{address}:{port}/new", 5, headers={"host": host}), version="v2")
    refused = visitor.send(f"http://{address}:1/")
    assert refused[0].error == "refused", "no load balancer has that port"


@pytest.mark.mesh_clusters("embedded")
def test_an_ingress_of_the_meshs_class_leads_in_and_shows_the_gateways_address(
    shop: Mesh, visitor: TrafficClient, host: str
) -> None:
    backend = {"service": {"name": "echo", "port": {"number": 80}}}
    path = {"path": "/new", "pathType": "Prefix", "backend": backend}
    kubernetes = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": "web", "annotations": {"kubernetes.io/ingress.class": "istio"}},
        "spec": {"rules": [{"host": host, "http": {"paths": [path]}}]},
    }
    with shop.applied(kubernetes):
        asked = f"http://{INGRESS}/new/1"
        leads_in = "the gateway routes what the Ingress says"
        eventually(lambda: visitor.send(asked, headers={"host": host})[0].status == 200, timeout=10, why=leads_in)
        assert_all(visitor.send(f"http://{INGRESS}/other", 3, headers={"host": host}), status=404)
        service = shop.api.kubectl(
            "-n", GATEWAYS, "get", "service", "istio-ingressgateway", "-o", f"jsonpath={BALANCER}"
        )
        shown = ("-n", shop.namespace, "get", "ingress", "web", "-o", f"jsonpath={BALANCER}")
        eventually(lambda: shop.api.kubectl(*shown) == service != "", timeout=10, why="the status has the address")


def test_a_hosts_routes_may_be_split_with_the_catch_all_in_the_oldest(
    shop: Mesh, visitor: TrafficClient, host: str
) -> None:
    everything = virtual_service(host, route(to("echo", "v1", port=80)), name="a-generic", gateways=["front"])
    api = route(to("echo", "v2", port=80), match=[{"uri": {"prefix": "/api"}}])
    narrow = virtual_service(host, api, name="b-api", gateways=["front"])
    with shop.applied([gateway("front", http(host)), everything, narrow]):
        assert_all(visitor.send(f"http://{INGRESS}/api/1", 5, headers={"host": host}), version="v2")
        assert_all(visitor.send(f"http://{INGRESS}/", 5, headers={"host": host}), version="v1")


def test_the_server_sees_the_gateways_identity(shop: Mesh, visitor: TrafficClient, host: str) -> None:
    with shop.applied([gateway("front", http(host)), routes(host)]):
        report = visitor.send(f"http://{INGRESS}/", headers={"host": host}, show_body=True)[0].json
    assert report["client"]["identity"].startswith("spiffe://cluster.local/ns/istio-system/sa/istio-ingressgateway")


@pytest.fixture
def certificate(shop: Mesh, host: str) -> Iterator[tuple[str, ServerCertificate]]:
    issued, name = issue(host), f"{shop.namespace}-tls"
    shop.api.apply(issued.secret(name, GATEWAYS))
    yield name, issued
    shop.api.delete(Reference("v1", "Secret", name, GATEWAYS))


@pytest.mark.mesh_feature("ingress/tls", protocol="http1", api="gateway")
def test_requests_come_in_over_https_with_the_hosts_own_certificate(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: tuple[str, ServerCertificate]
) -> None:
    secret, issued = certificate
    trust = {"server_name": host, "headers": {"host": host}, "ca_pem": issued.authority.decode()}
    with shop.applied([gateway("front", https(host, secret)), routes(host)]):
        assert_all(visitor.send(f"https://{INGRESS}/", 5, **trust), version="v1")
        assert_all(visitor.send(f"https://{INGRESS}/new", 5, http2=True, **trust), version="v2")
        distrusted = visitor.send(f"https://{INGRESS}/", server_name=host, headers={"host": host})
        assert distrusted[0].error == "tls", "nobody else has signed it"


def test_a_new_certificate_is_served_once_the_secret_holds_it(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: tuple[str, ServerCertificate]
) -> None:
    secret, _ = certificate
    renewed = issue(host)
    trust = {"server_name": host, "headers": {"host": host}, "ca_pem": renewed.authority.decode()}
    with shop.applied([gateway("front", https(host, secret)), routes(host)]):
        assert visitor.send(f"https://{INGRESS}/", **trust)[0].error == "tls"
        shop.api.apply(renewed.secret(secret, GATEWAYS))
        eventually(
            lambda: visitor.send(f"https://{INGRESS}/", **trust)[0].status == 200,
            timeout=10,
            why="Istio promises that gateways take up a changed Secret, not when",
        )


def trusting(host: str, authority: bytes) -> Object:
    return {"server_name": host, "headers": {"host": host}, "ca_pem": authority.decode(), "new_connections": True}


def test_each_host_has_a_certificate_of_its_own(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: tuple[str, ServerCertificate]
) -> None:
    secret, issued = certificate
    other = f"other-{host}"
    theirs = issue(other)
    with shop.applied(
        [
            theirs.secret(f"{secret}-other", GATEWAYS),
            gateway("front", https(host, secret), https(other, f"{secret}-other")),
            routes(host),
            virtual_service(other, route(to("echo", "v2", port=80)), name="other", gateways=["front"]),
        ]
    ):
        assert_all(visitor.send(f"https://{INGRESS}/", 3, **trusting(host, issued.authority)), version="v1")
        assert_all(visitor.send(f"https://{INGRESS}/", 3, **trusting(other, theirs.authority)), version="v2")
        assert visitor.send(f"https://{INGRESS}/", **trusting(other, issued.authority))[0].error == "tls"


@pytest.mark.mesh_feature("ingress/mutual-tls", protocol="http1", api="gateway")
def test_a_client_must_show_a_certificate_where_it_is_asked_for(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: tuple[str, ServerCertificate]
) -> None:
    secret, issued = certificate
    known, stranger = issue("a client"), issue("a client")
    trust = trusting(host, issued.authority)
    shop.api.apply(issued.secret(secret, GATEWAYS, clients=known.authority))
    with shop.applied([gateway("front", https(host, secret, "MUTUAL")), routes(host)]):
        assert_all(visitor.send(f"https://{INGRESS}/", 3, certificate_pem=known.shown, **trust), version="v1")
        for shown in ({}, {"certificate_pem": stranger.shown}):
            assert visitor.send(f"https://{INGRESS}/", **shown, **trust)[0].status == 0


@pytest.mark.mesh_clusters("embedded")
def test_a_certificate_that_is_none_is_told_of_and_spoils_its_own_host_alone(
    shop: Mesh, visitor: TrafficClient, host: str, certificate: tuple[str, ServerCertificate]
) -> None:
    secret, issued = certificate
    bad = ServerCertificate(b"none", b"none", b"").secret(f"{secret}-bad", GATEWAYS)
    front = gateway("front", https(host, secret), https(f"bad-{host}", f"{secret}-bad"))
    refs = shop.apply([bad, front, routes(host)])
    _, entrance, routed = refs
    try:
        with pytest.raises(ConfigurationRejected, match="certificate"):
            shop.wait_live(entrance)
        shop.wait_live(routed)
        assert_all(visitor.send(f"https://{INGRESS}/", 3, **trusting(host, issued.authority)), version="v1")
        assert visitor.send(f"https://{INGRESS}/", **trusting(f"bad-{host}", issued.authority))[0].status == 0
    finally:
        shop.remove(refs)
        for ref in (entrance, routed):
            shop.wait_gone(ref)


def secure(issued: ServerCertificate) -> Object:
    """A server that ends TLS itself."""
    serve = (
        "import http.server, os, ssl; open('/tmp/pem', 'w').write(os.environ['PEM']);"
        "context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH); context.load_cert_chain('/tmp/pem');"
        "server = http.server.HTTPServer(('', 8443), http.server.SimpleHTTPRequestHandler);"
        "server.socket = context.wrap_socket(server.socket, server_side=True); server.serve_forever()"
    )
    listening = {"tcpSocket": {"port": 8443}, "periodSeconds": 1}
    container = shell("", name="secure", env=[{"name": "PEM", "value": issued.shown}], readinessProbe=listening)
    return deployment("secure", {**container, "command": ["python3", "-c", serve]})


@pytest.mark.mesh_feature("ingress/tls-passthrough", protocol="tcp", api="gateway")
def test_tls_passes_to_a_server_whose_port_names_no_protocol(shop: Mesh, visitor: TrafficClient, host: str) -> None:
    issued = issue(host)
    onward = {"match": [{"sniHosts": [host]}], "route": [to("secure", port=443)]}
    listened = {
        "port": {"number": 443, "name": f"tls-{shop.namespace}", "protocol": "TLS"},
        "hosts": [host],
        "tls": {"mode": "PASSTHROUGH"},
    }
    passed = virtual_service(host, name="front", gateways=["front"])
    passed["spec"] = {**passed["spec"], "http": [], "tls": [onward]}
    with shop.applied([secure(issued), service("secure", {"app": "secure"}, ("", 443, 8443))]):
        shop.ready()
        shop.wait_endpoints("secure", 1)
        with shop.applied([gateway("front", listened), passed]):
            assert_all(visitor.send(f"https://{INGRESS}/tmp/", 5, **trusting(host, issued.authority)))


def test_plain_requests_are_sent_to_https(shop: Mesh, visitor: TrafficClient, host: str) -> None:
    redirecting = {**http(host), "tls": {"httpsRedirect": True}}
    with shop.applied([gateway("front", redirecting), routes(host)]):
        (result,) = visitor.send(f"http://{INGRESS}/new?a=b", headers={"host": host}, show_header=["location"])
    assert (result.status, result.headers["location"]) == (301, f"https://{host}/new?a=b")


def test_without_its_gateway_nobody_comes_in(shop: Mesh, visitor: TrafficClient, host: str) -> None:
    with shop.applied([gateway("front", http(host)), routes(host)]):
        assert_all(visitor.send(f"http://{INGRESS}/", headers={"host": host}))
    result = visitor.send(f"http://{INGRESS}/", headers={"host": host})[0]
    assert result.status == 404 or result.error in ("refused", "reset")
