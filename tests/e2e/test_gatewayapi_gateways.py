"""Gateways of the Gateway API: deployed on demand, in from the host, HTTPS, TLS that passes, TCP, ListenerSets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import requests

from mesh_lab.testing import Mesh, Namespaces, Object, Reference, TrafficClient, assert_all, eventually, service

from .certificates import ServerCertificate, issue
from .gatewayapi import (
    V1,
    at_listener,
    backend,
    gateway,
    listener,
    made,
    of,
    path,
    route,
    rule,
    version_services,
    wait_condition,
    wait_programmed,
)
from .test_ingress import secure, trusting

HTTP, HTTPS, TLS, TCP = 8080, 8443, 9443, 9000
FRONT = f"front-istio:{HTTP}"


@pytest.fixture(scope="module")
def shop(gateway_api: None, mesh_shared: Mesh, outside: Mesh) -> Mesh:
    """Two versions of an echo server, and a Gateway `front` with a listener of each sort."""
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    outside.deploy_client("visitor")
    issued = issue(host_of(mesh_shared))
    terminated = {"mode": "Terminate", "certificateRefs": [{"name": "shop"}]}
    listeners = (
        listener("http", HTTP, allowedRoutes={"namespaces": {"from": "All"}}),
        listener("https", HTTPS, "HTTPS", tls=terminated),
        listener("passing", TLS, "TLS", hostname=f"*.{host_of(mesh_shared)}", tls={"mode": "Passthrough"}),
        listener("tcp", TCP, "TCP"),
    )
    front = gateway("front", *listeners, allowedListeners={"namespaces": {"from": "All"}})
    mesh_shared.apply([issued.secret("shop", mesh_shared.namespace), *version_services(), front])
    mesh_shared.ready()
    outside.ready()
    wait_programmed(mesh_shared, "front")
    mesh_shared.wait_endpoints("echo-v1", 1)
    mesh_shared.wait_endpoints("echo-v2", 1)
    return mesh_shared


def host_of(mesh: Mesh) -> str:
    return f"{mesh.namespace}.example"


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


@pytest.fixture
def front(shop: Mesh) -> str:
    """Where the Gateway is reached from pods."""
    return f"front-istio.{shop.namespace}"


V1_RULE = rule(backend("echo-v1"))


def test_a_gateway_is_deployed_on_demand_and_goes_with_its_object(shop: Mesh) -> None:
    (ref,) = shop.apply(gateway("passing-by", listener("http", 80)))
    wait_programmed(shop, "passing-by")
    own = ("deployment", "service", "serviceaccount")
    names = [f"{kind}/passing-by-istio" for kind in own]
    found = shop.api.kubectl("-n", shop.namespace, "get", *names, "-o", "name").split()
    assert len(found) == len(own)
    shop.remove([ref])

    def gone() -> bool:
        return not shop.api.try_kubectl("-n", shop.namespace, "get", *names, "-o", "name", "--ignore-not-found").stdout

    eventually(gone, timeout=30, why="what a Gateway owns is collected after it")


@pytest.mark.mesh_clusters("embedded")
def test_a_gateway_answers_on_the_host_at_its_address(shop: Mesh) -> None:
    (ref,) = shop.apply(gateway("near", listener("http", 18088)))
    wait_programmed(shop, "near")
    with shop.applied(route("near", of("near"), V1_RULE)), requests.Session() as person:
        person.trust_env = False  # a proxy of this machine does not know the way
        (address,) = shop.api.get(Reference(V1, "Gateway", "near", shop.namespace))["status"]["addresses"]
        answer = person.get(f"http://{address['value']}:18088/", timeout=10)
        assert (answer.status_code, answer.json()["version"]) == (200, "v1")
    shop.remove([ref])


def reached(shop: Mesh, name: str, number: int) -> requests.Response:
    """What the host is answered at a Gateway's address."""
    (address,) = shop.api.get(Reference(V1, "Gateway", name, shop.namespace))["status"]["addresses"]
    with requests.Session() as person:
        person.trust_env = False  # a proxy of this machine does not know the way
        return person.get(f"http://{address['value']}:{number}/", timeout=10)


@pytest.mark.mesh_clusters("embedded")
def test_gateways_of_one_port_answer_at_addresses_of_their_own(shop: Mesh, visitor: TrafficClient) -> None:
    backends = {"left": "echo-v1", "right": "echo-v2"}
    refs = shop.apply([gateway(name, listener("http", 18090)) for name in backends])
    for name in backends:
        wait_programmed(shop, name)
    with shop.applied([route(name, of(name), rule(backend(leads))) for name, leads in backends.items()]):
        for name, leads in backends.items():
            assert reached(shop, name, 18090).json()["version"] == leads.removeprefix("echo-")
            (address,) = shop.api.get(Reference(V1, "Gateway", name, shop.namespace))["status"]["addresses"]
            assert_all(visitor.send(f"http://{address['value']}:18090/", 3), version=leads.removeprefix("echo-"))
    shop.remove(refs)


def _may_have(number: int) -> bool:
    """Whether this user, who is the lab's, may listen on a port; 127.81 is nobody's."""
    try:
        socket.create_server(("127.81.0.1", number)).close()
    except PermissionError:
        return False
    return True


@pytest.mark.mesh_clusters("embedded")
def test_port_80_of_a_gateway_answers_on_the_host_or_an_event_says_what_to_do(shop: Mesh) -> None:
    (ref,) = shop.apply(gateway("usual", listener("http", 80)))
    wait_programmed(shop, "usual")
    with shop.applied(route("usual", of("usual"), V1_RULE)):
        if _may_have(80):
            assert reached(shop, "usual", 80).json()["version"] == "v1"
        else:
            remedy = "sudo sysctl net.ipv4.ip_unprivileged_port_start=80"

            def told() -> bool:
                return any(remedy in event["message"] for event in shop.events("Service", "usual-istio"))

            eventually(told, timeout=10, why="an Event says what to do")
    shop.remove([ref])


def test_requests_are_routed_by_host_and_path(shop: Mesh, visitor: TrafficClient, front: str) -> None:
    new = rule(backend("echo-v2"), matches=[path("/new")])
    asked = {"headers": {"host": host_of(shop)}}
    with shop.applied(route("shop", of("front", sectionName="http"), V1_RULE, new, hostnames=[host_of(shop)])):
        assert_all(visitor.send(f"http://{front}:{HTTP}/", 10, **asked), version="v1")
        assert_all(visitor.send(f"http://{front}:{HTTP}/new/1", 10, **asked), version="v2")
        assert_all(visitor.send(f"http://{front}:{HTTP}/newer", 10, **asked), version="v1")
        assert_all(visitor.send(f"http://{front}:{HTTP}/", 3, headers={"host": "other.example"}), status=404)
        wait_condition(shop, "HTTPRoute", "shop", "Accepted", ("True", "Accepted"))
        wait_condition(shop, "HTTPRoute", "shop", "ResolvedRefs", ("True", "ResolvedRefs"))


def test_requests_come_in_over_https(shop: Mesh, visitor: TrafficClient, front: str) -> None:
    host, issued = host_of(shop), issue(host_of(shop))
    shop.api.apply(issued.secret("shop", shop.namespace))
    trust = trusting(host, issued.authority)
    with shop.applied(route("secure", of("front", sectionName="https"), V1_RULE)):
        eventually(
            lambda: visitor.send(f"https://{front}:{HTTPS}/", **trust)[0].status == 200,
            timeout=10,
            why="that gateways take up a changed Secret is promised, not when",
        )
        assert_all(visitor.send(f"https://{front}:{HTTPS}/", 5, http2=True, **trust), version="v1")


def test_tls_passes_to_the_server_that_is_named(shop: Mesh, visitor: TrafficClient, front: str) -> None:
    host = f"a.{host_of(shop)}"
    issued = issue(host)
    with shop.applied([secure(issued), service("secure", {"app": "secure"}, ("", 443, 8443))]):
        shop.ready()
        shop.wait_endpoints("secure", 1)
        leading = rule(backend("secure", 443))
        passed = route("passed", of("front", sectionName="passing"), leading, kind="TLSRoute", hostnames=[host])
        with shop.applied(passed):
            assert_all(visitor.send(f"https://{front}:{TLS}/tmp/", 5, **trusting(host, issued.authority)))
            other = visitor.send(f"https://{front}:{TLS}/", **trusting(f"b.{host_of(shop)}", issued.authority))
            assert other[0].status == 0, "no route is for that name"


def test_connections_are_split_by_a_tcp_route(shop: Mesh, visitor: TrafficClient, front: str) -> None:
    shares = rule(backend("echo-v1", 9000, weight=1), backend("echo-v2", 9000, weight=1))
    with shop.applied(route("tcp", of("front", sectionName="tcp"), shares, kind="TCPRoute")):
        url = f"tcp://{front}:{TCP}"
        answers = visitor.send(url, 60, body="good day\n", show_body=True, new_connections=True)
    assert_all(answers)
    assert len(answers.counts(lambda answer: answer.body.split()[0])) == 2, "once in 2**59 runs all go to one"


def test_a_listener_set_adds_a_listener(shop: Mesh, visitor: TrafficClient, front: str, outside: Mesh) -> None:
    parent = {"name": "front", "namespace": shop.namespace}
    more = made("ListenerSet", "more", {"parentRef": parent, "listeners": [listener("extra", 8081)]})
    extra = route("extra", {"group": "gateway.networking.k8s.io", "kind": "ListenerSet", "name": "more"}, V1_RULE)
    with shop.applied(more):
        wait_programmed(shop, "front")
        with shop.applied(extra):
            wait_condition(shop, "HTTPRoute", "extra", "Accepted", ("True", "Accepted"))
            assert_all(visitor.send(f"http://{front}:8081/", 5), version="v1")
    assert visitor.send(f"http://{front}:8081/")[0].status in (0, 404)


@pytest.fixture
def elsewhere(mesh_namespaces: Namespaces, mesh_in: object) -> Iterator[str]:
    """Another namespace, with a Service and a Secret that others may not name."""
    name = mesh_namespaces.create("elsewhere", injection=False)
    yield name
    mesh_namespaces.remove(name)


def grant(shop: Mesh, namespace: str, kind: str, by: str) -> Object:
    allowed = {
        "from": [{"group": "gateway.networking.k8s.io", "kind": by, "namespace": shop.namespace}],
        "to": [{"group": "", "kind": kind}],
    }
    return made("ReferenceGrant", f"for-{by.lower()}s", allowed, "v1beta1", namespace)


def test_a_backend_elsewhere_needs_a_grant_which_can_be_withdrawn(
    shop: Mesh, visitor: TrafficClient, front: str, elsewhere: str
) -> None:
    there = shop.api.apply(
        {**service("far", {"app": "echo"}, ("http", 80, 8080)), "metadata": {"name": "far", "namespace": elsewhere}}
    )
    assert there["metadata"]["namespace"] == elsewhere
    url = f"http://{front}:{HTTP}/far"
    far = rule(backend("far", namespace=elsewhere), matches=[path("/far")])
    refused = ("False", "RefNotPermitted")

    def answered(status: int) -> None:
        """The status of the route may be written before the gateway has acknowledged what the grant changes."""
        eventually(lambda: visitor.send(url)[0].status == status, timeout=10, why="the grant has come, or gone")
        assert_all(visitor.send(url, 3), status=status)

    with shop.applied(route("far", of("front", sectionName="http"), far)):
        wait_condition(shop, "HTTPRoute", "far", "ResolvedRefs", refused)
        assert_all(visitor.send(url, 3), status=500)
        with shop.applied(grant(shop, elsewhere, "Service", "HTTPRoute")):
            wait_condition(shop, "HTTPRoute", "far", "ResolvedRefs", ("True", "ResolvedRefs"))
            answered(503)  # the Service is there, and has no pods
        wait_condition(shop, "HTTPRoute", "far", "ResolvedRefs", refused)
        answered(500)


def test_a_certificate_elsewhere_needs_a_grant_which_can_be_withdrawn(
    shop: Mesh, visitor: TrafficClient, elsewhere: str
) -> None:
    issued: ServerCertificate = issue("far.example")
    shop.api.apply(issued.secret("far", elsewhere))
    tls = {"certificateRefs": [{"name": "far", "namespace": elsewhere}]}
    url = f"https://guarded-istio.{shop.namespace}:8443/"
    trust = trusting("far.example", issued.authority)
    (ref,) = shop.apply(gateway("guarded", listener("https", 8443, "HTTPS", tls=tls), listener("http", 8080)))
    wait_programmed(shop, "guarded")
    with shop.applied(route("guarded", of("guarded"), V1_RULE)):
        assert at_listener(shop, "guarded", "https")["ResolvedRefs"] == ("False", "RefNotPermitted")
        assert visitor.send(url, **trust)[0].status == 0
        with shop.applied(grant(shop, elsewhere, "Secret", "Gateway")):
            eventually(lambda: visitor.send(url, **trust)[0].status == 200, timeout=20, why="it is granted")
        eventually(lambda: visitor.send(url, **trust)[0].status == 0, timeout=20, why="it is withdrawn")
    shop.remove([ref])
