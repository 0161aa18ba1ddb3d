"""What a Sidecar lets in: services, VirtualServices, and the destinations of these."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import CDS, LDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.xds.translated import REVIEWS, hosts_of, resources

DETAILS = "details.default.svc.cluster.local"
RATINGS = "ratings.default.svc.cluster.local"


def sidecar(*hosts: str, namespace: str = "default", **more: Any) -> dict[str, Any]:
    return config("Sidecar", "s", {"egress": [{"hosts": list(hosts)}], **more}, namespace=namespace)


def routed(name: str, to: str, *hosts: str, namespace: str = "default", **match: Any) -> dict[str, Any]:
    rule: dict[str, Any] = {"route": [{"destination": {"host": to, "port": {"number": 9080}}}]}
    if match:
        rule["match"] = [match]
    return config("VirtualService", name, {"hosts": list(hosts) or [name], "http": [rule]}, namespace=namespace)


def called(cluster: Cluster) -> set[str]:
    """The services that the client has clusters of, by the first part of their names."""
    found = resources(cluster)[CDS]
    return {name.split("|")[3].partition(".")[0] for name in found if name.startswith("outbound|")}


def destination(cluster: Cluster, host: str = DETAILS) -> str:
    route = hosts_of(resources(cluster), "9080")[f"{host}:9080"].routes[0]
    return str(route.route.cluster.split("|")[3])


def test_a_destination_that_a_sidecar_does_not_list_is_imported_with_the_virtual_service_that_leads_there() -> None:
    cluster = bookinfo().istio(sidecar(f"./{DETAILS}"))
    assert called(cluster) == {"details"}
    cluster.istio(routed("details", "ratings"))
    assert called(cluster) == {"details", "ratings"}
    assert destination(cluster) == RATINGS
    found = resources(cluster)
    assert f"{RATINGS}:9080" not in hosts_of(found, "9080"), "it cannot be named"
    rule = {"host": "ratings", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    cluster.istio(config("DestinationRule", "ratings", rule))
    assert f"outbound|9080|v1|{RATINGS}" in resources(cluster)[CDS]


def test_mirrors_and_connections_are_imported_and_what_is_private_or_for_others_is_not() -> None:
    private = service("hidden", ("http", 9080), namespace="far")
    private["metadata"]["annotations"] = {"networking.istio.io/exportTo": "."}
    cluster = bookinfo().add("Service", private, service("db", ("tcp", 5432), ip="10.96.1.1"))
    mirrored = {"route": [{"destination": {"host": "hidden.far.svc.cluster.local"}}], "mirror": {"host": "ratings"}}
    others = {"match": [{"sourceNamespace": "far"}], "route": [{"destination": {"host": "reviews"}}]}
    shares = [{"route": [{"destination": {"host": "db"}}]}]
    rules = {"hosts": ["details"], "http": [others, mirrored], "tcp": shares}
    cluster.istio(sidecar(f"./{DETAILS}"), config("VirtualService", "details", rules))
    assert called(cluster) == {"details", "ratings", "db"}
    assert not [name for name in resources(cluster)[LDS] if name.endswith("_5432")]


@pytest.mark.parametrize(
    ("hosts", "holds"),
    [
        (["./*", "*/*"], True),
        (["./*"], False),
        (["far/*", "./*"], True),
        ([f"far/{DETAILS}", "./*"], True),
        ([f"far/{RATINGS}", "./*"], False),
        (["far/*.default.svc.cluster.local", "./*"], True),
        (["far/*.example", "./*"], False),
        (["*/*", "~far/*"], False),
        (["*/*", f"~/{RATINGS}"], True),
    ],
)
def test_a_virtual_service_holds_if_the_sidecar_lets_it_in_from_its_namespace(hosts: list[str], holds: bool) -> None:
    cluster = bookinfo().istio(sidecar(*hosts), routed("v", RATINGS, DETAILS, namespace="far"))
    assert (destination(cluster) == RATINGS) == holds


def test_a_virtual_service_for_a_wildcard_is_let_in_with_any_host_under_it() -> None:
    cluster = bookinfo().istio(sidecar(f"far/{DETAILS}", "./*"))
    cluster.istio(routed("v", RATINGS, "*.default.svc.cluster.local", namespace="far"))
    assert destination(cluster) == RATINGS


@pytest.mark.parametrize(
    ("hosts", "seen"),
    [
        (["./*", f"~./{RATINGS}"], {"details", "productpage", "reviews"}),
        (["*/*", "~far/*"], {"details", "productpage", "ratings", "reviews"}),
        (["*/*", "~/*.default.svc.cluster.local"], {"away"}),
        (["~/*"], set()),
    ],
)
def test_hosts_are_excluded_by_a_tilde_before_their_namespace(hosts: list[str], seen: set[str]) -> None:
    cluster = bookinfo().add("Service", service("away", ("http", 9080), namespace="far"))
    assert called(cluster.istio(sidecar(*hosts))) == seen


def edge(cluster: Cluster) -> Cluster:
    """A gateway beside the control plane that leads to reviews."""
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", meshed=False))
    servers = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
    cluster.istio(config("Gateway", "front", {"selector": {"app": "gate"}, "servers": servers}))
    rules = [{"route": [{"destination": {"host": "reviews", "subset": "v1", "port": {"number": 9080}}}]}]
    return cluster.istio(config("VirtualService", "r", {"hosts": ["*"], "gateways": ["front"], "http": rules}))


def at_the_edge(cluster: Cluster) -> set[str]:
    return set(resources(cluster, "gate-1", namespace="istio-system", kind="router")[CDS])


def test_a_sidecar_for_the_whole_mesh_is_none_for_gateways() -> None:
    cluster = edge(bookinfo()).istio(sidecar("istio-system/*", namespace="istio-system"))
    assert "outbound|9080||reviews.default.svc.cluster.local" in at_the_edge(cluster)


def test_a_rule_for_the_whole_mesh_does_not_hide_a_services_own_from_gateways_in_the_root_namespace() -> None:
    own = {"host": "reviews", "subsets": [{"name": "v1", "labels": {"version": "v1"}}]}
    wide = {"host": "*.local", "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}}}
    cluster = edge(bookinfo()).istio(config("DestinationRule", "own", own))
    cluster.istio(config("DestinationRule", "wide", wide, namespace="istio-system"))
    subset = "outbound|9080|v1|reviews.default.svc.cluster.local"
    assert subset in at_the_edge(cluster)
    cluster.istio(config("DestinationRule", "wide", {**wide, "exportTo": ["."]}, namespace="istio-system"))
    assert subset not in at_the_edge(cluster)


def test_a_rule_for_the_whole_mesh_is_for_gateways_in_the_root_namespace_too() -> None:
    subsets = [{"name": "v1", "labels": {"version": "v1"}}]
    rule = config("DestinationRule", "wide", {"host": REVIEWS, "subsets": subsets}, namespace="istio-system")
    assert f"outbound|9080|v1|{REVIEWS}" in at_the_edge(edge(bookinfo()).istio(rule))


def test_a_listener_with_a_port_shows_its_hosts_there_and_the_last_one_at_all_others() -> None:
    cluster = bookinfo()
    cluster.app("both", ("http", 9080), ("http-other", 9090), pods=[pod("both-1", "10.244.1.1")])
    listeners = [
        {"port": {"number": 9080, "protocol": "HTTP"}, "hosts": ["./details.default.svc.cluster.local"]},
        {"hosts": ["./both.default.svc.cluster.local"]},
    ]
    found = resources(cluster.istio(config("Sidecar", "s", {"egress": listeners})))
    assert set(hosts_of(found, "9080")) == {"details.default.svc.cluster.local:9080", "allow_any"}
    assert set(hosts_of(found, "9090")) == {"both.default.svc.cluster.local:9090", "allow_any"}
