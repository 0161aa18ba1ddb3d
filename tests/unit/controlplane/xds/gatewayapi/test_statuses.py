"""Statuses of Gateways, classes and routes."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from tests.unit.controlplane.cluster import Cluster, service
from tests.unit.controlplane.xds.gatewayapi.objects import (
    edge,
    gateway,
    holds,
    listener,
    made,
    of_parent,
    route,
    rule,
    status,
    to,
)


def at_listener(cluster: Cluster, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = status(cluster, GATEWAY, "edge")["listeners"][index]
    return found


def test_a_class_says_which_definitions_it_acts_on() -> None:
    snapshot = edge().snapshot()
    good = statuses(snapshot, Release("v1.6.3", "standard"))[Key("GatewayClass", "", "istio")]
    assert holds(good["conditions"], "Accepted") == ("True", "Accepted")
    assert holds(good["conditions"], "SupportedVersion") == ("True", "SupportedVersion")
    later = statuses(snapshot, Release("v9.0.0", "standard"))[Key("GatewayClass", "", "istio")]
    assert holds(later["conditions"], "SupportedVersion") == ("False", "UnsupportedVersion")


def test_of_other_controllers_classes_nothing_is_said() -> None:
    cluster = edge(made("edge", {"gatewayClassName": "theirs", "listeners": [listener()]}))
    cluster.add("GatewayClass", made("theirs", {"controllerName": "example.com/x"}, namespace=""))
    cluster.add("HTTPRoute", route("r", rule(to("reviews"))))
    assert statuses(cluster.snapshot(), Release()).keys() == {Key("GatewayClass", "", "istio")}


def test_a_gateway_with_a_ready_pod_is_programmed_and_has_an_address() -> None:
    cluster = edge().add("HTTPRoute", route("r", rule(to("reviews"))))
    found = status(cluster, GATEWAY, "edge")
    assert holds(found["conditions"], "Accepted") == ("True", "Accepted")
    assert holds(found["conditions"], "Programmed") == ("True", "Programmed")
    assert found["addresses"] == [{"type": "Hostname", "value": "edge-istio.default.svc.cluster.local"}]
    assert at_listener(cluster)["attachedRoutes"] == 1
    assert [each["kind"] for each in at_listener(cluster)["supportedKinds"]] == ["HTTPRoute", "GRPCRoute"]


@pytest.mark.parametrize(
    ("asked", "errors", "condition", "addresses"),
    [
        ((), {}, ("True", "Programmed"), ["127.80.0.5"]),
        ((), {15021: "PortTaken"}, ("True", "Programmed"), ["127.80.0.5"]),
        ((), {80: "PortReserved"}, ("True", "Programmed"), ["10.96.0.77"]),
        (("127.80.0.5",), {}, ("True", "Programmed"), ["127.80.0.5"]),
        (("127.80.0.6",), {}, ("False", "AddressNotUsable"), ["127.80.0.5"]),
        (("127.80.0.5", "127.80.0.6"), {}, ("False", "AddressNotUsable"), ["127.80.0.5"]),
        (("127.80.0.5",), {80: "PortReserved"}, ("False", "AddressNotUsable"), ["10.96.0.77"]),
    ],
)
def test_a_gateway_has_its_load_balancers_address_where_its_ports_answer(
    asked: tuple[str, ...], errors: dict[int, str], condition: tuple[str, str], addresses: list[str]
) -> None:
    cluster = edge(gateway(addresses=[{"type": "IPAddress", "value": each} for each in asked]))
    labels = {"gateway.networking.k8s.io/gateway-name": "edge"}
    front = service(
        "edge-istio", ("status", 15021), ("http", 80), ip="10.96.0.77", selector=labels, type="LoadBalancer"
    )
    ports = [{"port": number, "protocol": "TCP"} for number in (15021, 80)]
    listed = [port | ({"error": errors[port["port"]]} if port["port"] in errors else {}) for port in ports]
    front["status"] = {"loadBalancer": {"ingress": [{"ip": "127.80.0.5", "ports": listed}]}}
    found = status(cluster.add("Service", front), GATEWAY, "edge")
    assert holds(found["conditions"], "Programmed") == condition
    assert [each["value"] for each in found["addresses"]] == addresses
    (programmed,) = (each for each in found["conditions"] if each["type"] == "Programmed")
    silent = condition[0] == "True" and 80 not in errors
    assert ("edge-istio say why" in programmed["message"]) != silent


def test_an_address_of_another_type_is_refused() -> None:
    found = status(edge(gateway(addresses=[{"type": "example.com/x", "value": "y"}])), GATEWAY, "edge")
    assert holds(found["conditions"], "Accepted") == ("False", "UnsupportedAddress")
    assert holds(found["conditions"], "Programmed") == ("False", "Invalid")


def test_a_gateway_without_its_service_is_not_programmed() -> None:
    cluster = edge(gateway(name="other"))
    found = status(cluster, GATEWAY, "other")
    assert holds(found["conditions"], "Programmed") == ("False", "AddressNotAssigned")
    assert holds(found["listeners"][0]["conditions"], "Programmed") == ("False", "Pending")


@pytest.mark.parametrize(
    ("wrong", "kind", "reason"),
    [
        (listener(protocol="SCTP"), "Accepted", "UnsupportedProtocol"),
        (listener(protocol="HTTPS", port=443), "ResolvedRefs", "InvalidCertificateRef"),
        (
            listener(protocol="HTTPS", port=443, tls={"certificateRefs": [{"name": "none"}]}),
            "ResolvedRefs",
            "InvalidCertificateRef",
        ),
        (
            listener(protocol="HTTPS", port=443, tls={"certificateRefs": [{"name": "c", "namespace": "other"}]}),
            "ResolvedRefs",
            "RefNotPermitted",
        ),
        (listener(allowedRoutes={"kinds": [{"kind": "TCPRoute"}]}), "ResolvedRefs", "InvalidRouteKinds"),
    ],
)
def test_listeners_that_cannot_be_served(wrong: dict[str, Any], kind: str, reason: str) -> None:
    cluster = edge(gateway(listener("good", port=8080), {**wrong, "name": "bad"}))
    assert holds(at_listener(cluster, 1)["conditions"], kind) == ("False", reason)
    assert holds(at_listener(cluster, 1)["conditions"], "Programmed") == ("False", "Invalid")
    found = status(cluster, GATEWAY, "edge")
    assert holds(found["conditions"], "Accepted") == ("True", "ListenersNotValid")


def test_listeners_that_exclude_each_other() -> None:
    cluster = edge(gateway(listener("a"), listener("b", protocol="TCP"), listener("c")))
    assert holds(at_listener(cluster, 0)["conditions"], "Conflicted") == ("False", "NoConflicts")
    assert holds(at_listener(cluster, 1)["conditions"], "Conflicted") == ("True", "ProtocolConflict")
    assert holds(at_listener(cluster, 2)["conditions"], "Conflicted") == ("True", "HostnameConflict")


@pytest.mark.parametrize(
    ("parent", "reason"),
    [
        ({"name": "edge", "sectionName": "none"}, "NoMatchingParent"),
        ({"name": "edge", "port": 81}, "NoMatchingParent"),
        ({"name": "edge", "sectionName": "own"}, "NotAllowedByListeners"),
    ],
)
def test_routes_that_attach_to_nothing(parent: dict[str, Any], reason: str) -> None:
    own = listener("own", port=8080, allowedRoutes={"namespaces": {"from": "Same"}})
    cluster = edge(gateway(listener(), own))
    cluster.add("HTTPRoute", route("r", rule(), parent={**parent, "namespace": "default"}, namespace="shop"))
    assert of_parent(cluster, "HTTPRoute", "r", namespace="shop")["Accepted"] == ("False", reason)


def test_conditions_are_of_the_generation_that_was_read() -> None:
    cluster = edge().add("HTTPRoute", made("r", {"parentRefs": [{"name": "edge"}], "rules": []}, generation=7))
    (parent,) = status(cluster, "HTTPRoute", "r")["parents"]
    assert {each["observedGeneration"] for each in parent["conditions"]} == {7}
    assert parent["parentRef"] == {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}


def words(conditions: list[dict[str, Any]]) -> dict[str, str]:
    return {each["type"]: each["message"] for each in conditions}


def test_what_is_good_is_said_in_istios_words() -> None:
    """Its documentation's tests look for them."""
    cluster = edge(gateway(listener(), listener("more", 8080)))
    cluster.add("HTTPRoute", route("one", rule(to("reviews")), parent={"name": "edge", "sectionName": "http"}))
    cluster.add("HTTPRoute", route("two", rule(to("reviews"))))
    front = status(cluster, GATEWAY, "edge")
    host = "edge-istio.default.svc.cluster.local"
    assert words(front["conditions"]) == {
        "Accepted": "Resource accepted",
        "Programmed": f"Resource programmed, assigned to service(s) {host}:80 and {host}:8080",
    }
    assert set(words(front["listeners"][0]["conditions"]).values()) == {"No errors found"}
    one, two = (words(status(cluster, "HTTPRoute", name)["parents"][0]["conditions"]) for name in ("one", "two"))
    assert one == {"Accepted": "Route was valid", "ResolvedRefs": "All references resolved"}
    assert two["Accepted"] == "Route was valid, bound to 2 parents"
