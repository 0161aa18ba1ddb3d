"""Mistakes with the Gateway API: conditions with the specification's reasons, Events, and `wait` that does not."""

from __future__ import annotations

import socket

import pytest

from mesh_lab.testing import ConfigurationRejected, Mesh, Object, Reference, TrafficClient, assert_all, eventually

from .gatewayapi import (
    V1,
    at_listener,
    backend,
    conditions,
    gateway,
    listener,
    of,
    of_service,
    route,
    rule,
    version_services,
    wait_condition,
    wait_programmed,
)

PORT = 8080
GOOD = rule(backend("echo-v1"))
TOLD = "istiod makes an Event of what stays wrong"


@pytest.fixture(scope="module")
def shop(gateway_api: None, mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    outside.deploy_client("visitor")
    mesh_shared.apply([*version_services(), gateway("front", listener("http", PORT, hostname="*.example"))])
    mesh_shared.ready()
    outside.ready()
    wait_programmed(mesh_shared, "front")
    mesh_shared.wait_endpoints("echo-v1", 1)
    return mesh_shared


@pytest.fixture
def visitor(outside: Mesh) -> TrafficClient:
    return outside.client("visitor")


def told(mesh: Mesh, kind: str, name: str, words: str) -> bool:
    return any(words in event["message"] for event in mesh.events(kind, name))


# What is wrong, the condition that says it, and its reason; without a condition no controller is in charge.
MISTAKES: dict[str, tuple[Object, str, str]] = {
    "no such listener": (route("bad", of("front", sectionName="none"), GOOD), "Accepted", "NoMatchingParent"),
    "no such port": (route("bad", of("front", port=1), GOOD), "Accepted", "NoMatchingParent"),
    "no host in common": (
        route("bad", of("front"), GOOD, hostnames=["a.elsewhere"]),
        "Accepted",
        "NoMatchingListenerHostname",
    ),
    "a kind that the listener does not take": (
        route("bad", of("front"), rule(backend("echo-v1", 9000)), kind="TCPRoute"),
        "Accepted",
        "NotAllowedByListeners",
    ),
    "no such service of the mesh": (route("bad", of_service("nobody"), GOOD), "Accepted", "NoMatchingParent"),
    "a filter that is not carried out": (
        route(
            "bad",
            of("front"),
            rule(
                backend("echo-v1"),
                filters=[{"type": "ExtensionRef", "extensionRef": {"group": "a.b", "kind": "C", "name": "d"}}],
            ),
        ),
        "Accepted",
        "UnsupportedValue",
    ),
}


@pytest.mark.mesh_clusters("embedded")
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_route_that_is_refused_says_so_everywhere(shop: Mesh, mistake: str) -> None:
    wrong, condition, reason = MISTAKES[mistake]
    (ref,) = shop.apply(wrong)
    try:
        with pytest.raises(ConfigurationRejected, match=reason):
            shop.wait_live(ref)
        wait_condition(shop, ref.kind, "bad", condition, ("False", reason))
        eventually(lambda: told(shop, ref.kind, "bad", reason), timeout=10, why=TOLD)
    finally:
        shop.remove([ref])
        shop.wait_gone(ref)


@pytest.mark.mesh_clusters("embedded")
def test_a_route_to_no_gateway_is_in_nobodys_charge_and_is_told_all_the_same(shop: Mesh) -> None:
    (ref,) = shop.apply(route("lost", of("none"), GOOD))
    with pytest.raises(ConfigurationRejected, match="Referenced Gateway not found"):
        shop.wait_live(ref)
    eventually(lambda: told(shop, "HTTPRoute", "lost", "not found"), timeout=10, why=TOLD)
    assert conditions(shop, "HTTPRoute", "lost") == {}
    shop.remove([ref])


def test_a_backend_that_is_none_harms_its_own_share_only(shop: Mesh, visitor: TrafficClient) -> None:
    url = f"http://front-istio.{shop.namespace}:{PORT}/"
    with shop.applied(route("half", of("front"), rule(backend("echo-v1"), backend("nobody")))):
        wait_condition(shop, "HTTPRoute", "half", "ResolvedRefs", ("False", "BackendNotFound"))
        found = visitor.send(url, 60, headers={"host": "a.example"}).counts("status")
    assert set(found) == {"200", "500"}, "once in 2**59 runs all are of one kind"


def test_of_listeners_that_exclude_each_other_the_first_is_served(shop: Mesh, visitor: TrafficClient) -> None:
    tls = {"certificateRefs": [{"name": "none"}]}
    listeners = (listener("good", 8080), listener("same", 8080), listener("other", 8080, "TCP"))
    (ref,) = shop.apply(gateway("torn", *listeners, listener("bare", 8443, "HTTPS", tls=tls)))
    wait_programmed(shop, "torn")
    with shop.applied(route("torn", of("torn", sectionName="good"), GOOD)):
        assert at_listener(shop, "torn", "good")["Programmed"][0] == "True"
        assert at_listener(shop, "torn", "same")["Conflicted"] == ("True", "HostnameConflict")
        assert at_listener(shop, "torn", "other")["Conflicted"] == ("True", "ProtocolConflict")
        assert at_listener(shop, "torn", "bare")["ResolvedRefs"] == ("False", "InvalidCertificateRef")
        assert_all(visitor.send(f"http://torn-istio.{shop.namespace}:8080/", 3), version="v1")
    shop.remove([ref])


@pytest.mark.mesh_clusters("embedded")
def test_a_gateway_whose_port_the_host_has_taken_says_so_and_is_reached_otherwise(
    shop: Mesh, visitor: TrafficClient
) -> None:
    with socket.create_server(("", 0)) as other:  # at all addresses, so that there is none to give instead
        number = other.getsockname()[1]
        refs = shop.apply(gateway("late", listener("http", number)))
        wait_programmed(shop, "late")
        eventually(lambda: told(shop, "Service", "late-istio", f"port {number} is in use"), timeout=10, why=TOLD)
        late = shop.api.get(Reference(V1, "Gateway", "late", shop.namespace))["status"]
        (programmed,) = (each for each in late["conditions"] if each["type"] == "Programmed")
        assert "Events of Service late-istio say why" in programmed["message"]
        with shop.applied(route("late", of("late"), GOOD)):
            address = late["addresses"][0]["value"]
            assert_all(visitor.send(f"http://{address}:{number}/", 3), version="v1")
        shop.remove(refs)


@pytest.mark.mesh_clusters("embedded")
def test_an_address_that_another_gateway_has_is_not_usable(shop: Mesh) -> None:
    address = {"type": "IPAddress", "value": "127.80.201.1"}
    refs = shop.apply(gateway("first", listener("http", 18091), addresses=[address]))
    wait_programmed(shop, "first")
    status = shop.api.get(Reference(V1, "Gateway", "first", shop.namespace))["status"]
    assert status["addresses"] == [address]
    refs += shop.apply(gateway("second", listener("http", 18091), addresses=[address]))
    wait_condition(shop, "Gateway", "second", "Programmed", ("False", "AddressNotUsable"))
    why = "127.80.201.1 is the address of Service"
    eventually(lambda: told(shop, "Service", "second-istio", why), timeout=10, why=TOLD)
    shop.remove(refs)
