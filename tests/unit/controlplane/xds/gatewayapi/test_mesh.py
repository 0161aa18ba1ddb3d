"""Routes with a Service as parent: the mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.gatewayapi.objects import made, of_parent, path, route, rule, to
from tests.unit.controlplane.xds.translated import REVIEWS, hosts_of, resources, routes_to

SERVICE = {"group": "", "kind": "Service", "name": "reviews"}
RATINGS = "outbound|9080||ratings.default.svc.cluster.local"


def clusters(cluster: Cluster) -> list[str]:
    return [each.route.cluster for each in routes_to(cluster)]


def test_a_route_takes_the_place_of_the_service(tmp_path: Path) -> None:
    cluster = bookinfo().add("HTTPRoute", route("r", rule(to("ratings"), matches=[path("/x")]), parent=SERVICE))
    (found,) = routes_to(cluster)
    assert (found.match.path_separated_prefix, found.route.cluster) == ("/x", RATINGS)
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("True", "Accepted")
    validate(static(resources(cluster)), tmp_path)


def test_a_port_of_the_service_may_be_meant() -> None:
    cluster = bookinfo()
    cluster.add("Service", service("reviews", ("http", 9080), ("http-alt", 9081)))
    cluster.add("HTTPRoute", route("r", rule(to("ratings")), parent={**SERVICE, "port": 9081}))
    found = resources(cluster)
    assert hosts_of(found, "9080")[f"{REVIEWS}:9080"].routes[0].route.cluster != RATINGS
    assert hosts_of(found, "9081")[f"{REVIEWS}:9081"].routes[0].route.cluster == RATINGS


@pytest.mark.parametrize(("namespace", "expected"), [("default", ["a"]), ("shop", [])])
def test_clients_routes_are_for_their_own_namespace_and_before_all_else(namespace: str, expected: list[str]) -> None:
    """They need no grant, either."""
    change = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "1"}]}}
    theirs = rule(to("ratings", namespace="default"), filters=[change])
    parent = {**SERVICE, "namespace": "default"}
    cluster = bookinfo().add("HTTPRoute", route("own", rule(to("reviews")), parent=SERVICE, created="2020-01-01"))
    cluster.add("HTTPRoute", route("theirs", theirs, parent=parent, namespace="shop"))
    cluster.add("Pod", pod("client-1", "10.244.2.1", namespace="shop"))
    own = resources(cluster) if namespace == "shop" else resources(cluster, "client-1", namespace="shop")
    (found,) = hosts_of(own, "9080")[f"{REVIEWS}:9080"].routes
    assert [each.header.key for each in found.request_headers_to_add] == expected


def test_beside_a_virtual_service_the_older_counts() -> None:
    def both(created: str) -> Cluster:
        spec = {"hosts": ["reviews"], "http": [{"route": [{"destination": {"host": "details"}}]}]}
        written = config("VirtualService", "v", spec, created="2026-01-01")
        return (
            bookinfo().istio(written).add("HTTPRoute", route("r", rule(to("ratings")), parent=SERVICE, created=created))
        )

    assert clusters(both("2025-01-01")) == [RATINGS]
    assert clusters(both("2027-01-01")) == ["outbound|9080||details.default.svc.cluster.local"]


@pytest.mark.parametrize("wrong", [{"name": "nobody"}, {"port": 1}, {"sectionName": "none"}])
def test_a_parent_that_is_none(wrong: dict[str, Any]) -> None:
    cluster = bookinfo().add("HTTPRoute", route("r", rule(to("ratings")), parent={**SERVICE, **wrong}))
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("False", "NoMatchingParent")
    assert RATINGS not in clusters(cluster)


OUTSIDE = {
    "hosts": ["news.example", "*.wiki.example"],
    "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}, {"number": 8080, "name": "alt", "protocol": "HTTP"}],
    "resolution": "NONE",
}
ENTRY = {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "outside"}


def outside(**parent: Any) -> Cluster:
    cluster = bookinfo().istio(config("ServiceEntry", "outside", OUTSIDE))
    return cluster.add("HTTPRoute", route("r", rule(to("ratings")), parent={**ENTRY, **parent}))


def test_a_route_takes_the_place_of_a_service_entry(tmp_path: Path) -> None:
    """The first half of Istio's way out through an egress gateway."""
    cluster = outside()
    found = hosts_of(resources(cluster), "80")
    for host in ("news.example:80", "*.wiki.example:80"):
        assert [each.route.cluster for each in found[host].routes] == [RATINGS]
    assert of_parent(cluster, "HTTPRoute", "r")["Accepted"] == ("True", "Accepted")
    validate(static(resources(cluster)), tmp_path)


@pytest.mark.parametrize("named", [{"port": 8080}, {"sectionName": "alt"}])
def test_a_port_of_a_service_entry_may_be_meant(named: dict[str, Any]) -> None:
    found = resources(outside(**named))
    assert hosts_of(found, "80")["news.example:80"].routes[0].route.cluster != RATINGS
    assert hosts_of(found, "8080")["news.example:8080"].routes[0].route.cluster == RATINGS


@pytest.mark.parametrize("wrong", [{"name": "nothing"}, {"port": 1}, {"sectionName": "none"}, {"namespace": "shop"}])
def test_a_service_entry_that_is_no_parent(wrong: dict[str, Any]) -> None:
    assert of_parent(outside(**wrong), "HTTPRoute", "r")["Accepted"] == ("False", "NoMatchingParent")


@pytest.mark.parametrize(
    ("hostnames", "expected"),
    [
        ([], {"news.example", "*.wiki.example"}),
        (["news.example", "other.example"], {"news.example"}),
        (["a.wiki.example"], {"a.wiki.example"}),
        (["other.example"], set()),
    ],
    ids=["all", "one", "narrower", "none"],
)
def test_connections_to_a_service_entry_are_routed_by_its_own_names(
    hostnames: list[str], expected: set[str], tmp_path: Path
) -> None:
    """Another's name is not for this route to lead anywhere."""
    spec = {**OUTSIDE, "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}
    parents = {"parentRefs": [ENTRY], "rules": [rule(to("ratings"))]}
    cluster = bookinfo().istio(config("ServiceEntry", "outside", spec))
    cluster.add("TLSRoute", made("r", {**parents, **({"hostnames": hostnames} if hostnames else {})}))
    found = resources(cluster)
    chains = message(found[LDS]["0.0.0.0_443"]).filter_chains
    led = {name for each in chains if RATINGS in str(each.filters) for name in each.filter_chain_match.server_names}
    assert led == expected
    verdict = ("True", "Accepted") if expected else ("False", "NoMatchingListenerHostname")
    assert of_parent(cluster, "TLSRoute", "r")["Accepted"] == verdict
    validate(static(found), tmp_path)


def test_a_service_and_a_service_entry_of_one_name_are_two_parents() -> None:
    cluster = bookinfo().istio(config("ServiceEntry", "reviews", OUTSIDE))
    cluster.add("HTTPRoute", route("one", rule(to("ratings")), parent=SERVICE))
    cluster.add("HTTPRoute", route("two", rule(to("details")), parent={**ENTRY, "name": "reviews"}))
    found = resources(cluster)
    assert hosts_of(found, "9080")[f"{REVIEWS}:9080"].routes[0].route.cluster == RATINGS
    assert (
        hosts_of(found, "80")["news.example:80"].routes[0].route.cluster.endswith("details.default.svc.cluster.local")
    )


def test_calls_are_routed_by_service_and_method(tmp_path: Path) -> None:
    def calling(**method: str) -> Any:
        return rule(to("ratings"), matches=[{"method": method}])

    rules = [calling(service="a.B"), calling(service="a.B", method="C"), calling(method="D"), rule(to("reviews"))]
    spec = {"parentRefs": [SERVICE], "rules": rules}
    cluster = bookinfo().add("GRPCRoute", made("r", spec))
    found = [each.match for each in routes_to(cluster)]
    assert found[0].path == "/a.B/C"
    assert found[1].path_separated_prefix == "/a.B"
    assert found[2].safe_regex.regex == "/[^/]+/D"
    assert found[3].prefix == "/"
    validate(static(resources(cluster)), tmp_path)
