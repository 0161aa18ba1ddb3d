"""RDS of a sidecar: virtual hosts, their names, and which VirtualService a host is routed by."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.xds.translated import REVIEWS, hosts_of, resources
from tests.unit.controlplane.xds.virtualservices import only, reviews, to


def test_without_a_virtual_service_requests_go_to_the_service_that_they_name() -> None:
    route = only(bookinfo())
    assert route.route.cluster == f"outbound|9080||{REVIEWS}"
    assert route.route.HasField("timeout")
    assert route.route.timeout.ToNanoseconds() == 0


def test_a_host_is_known_by_all_its_names() -> None:
    found = hosts_of(resources(bookinfo()), "9080")[f"{REVIEWS}:9080"]
    assert {REVIEWS, "reviews", "reviews.default", "reviews.default.svc"} <= set(found.domains)


@pytest.mark.parametrize(("mode", "name"), [("ALLOW_ANY", "allow_any"), ("REGISTRY_ONLY", "block_all")])
def test_unknown_hosts_are_let_out_or_refused(mode: str, name: str) -> None:
    cluster = bookinfo()
    settings = {"mesh": f"outboundTrafficPolicy: {{mode: {mode}}}"}
    cluster.add("ConfigMap", {"metadata": {"namespace": "istio-system", "name": "istio"}, "data": settings})
    found = hosts_of(resources(cluster), "9080")[name]
    assert list(found.domains) == ["*"]
    assert found.routes[0].direct_response.status == (502 if mode == "REGISTRY_ONLY" else 0)


def test_the_oldest_of_two_virtual_services_wins() -> None:
    older = reviews({"route": [to(subset="v1")]})
    younger = config(
        "VirtualService", "another", {"hosts": [REVIEWS], "http": [{"route": [to(subset="v2")]}]}, created="2026-02-02"
    )
    assert only(bookinfo().istio(younger, older)).route.cluster == f"outbound|9080|v1|{REVIEWS}"


def test_a_plain_host_says_more_than_a_wildcard() -> None:
    wide = config(
        "VirtualService", "wide", {"hosts": ["*.default.svc.cluster.local"], "http": [{"route": [to(subset="v1")]}]}
    )
    cluster = bookinfo().istio(wide)
    assert only(cluster).route.cluster == f"outbound|9080|v1|{REVIEWS}"
    assert only(cluster.istio(reviews({"route": [to(subset="v2")]}))).route.cluster == f"outbound|9080|v2|{REVIEWS}"


def test_a_short_name_belongs_to_the_namespace_of_its_virtual_service() -> None:
    elsewhere = config(
        "VirtualService", "r", {"hosts": ["reviews"], "http": [{"route": [to(subset="v1")]}]}, namespace="b"
    )
    assert only(bookinfo().istio(elsewhere)).route.cluster == f"outbound|9080||{REVIEWS}"


@pytest.mark.parametrize(("export_to", "seen"), [([], True), (["*"], True), (["."], False), (["default"], True)])
def test_what_is_not_exported_is_not_seen(export_to: list[str], seen: bool) -> None:
    foreign = config(
        "VirtualService",
        "r",
        {"hosts": [REVIEWS], "http": [{"route": [to(REVIEWS, "v1")]}], "exportTo": export_to},
        namespace="b",
    )
    assert only(bookinfo().istio(foreign)).route.cluster == f"outbound|9080|{'v1' if seen else ''}|{REVIEWS}"


def test_a_domain_that_is_named_twice_is_the_virtual_services_and_does_not_spoil_the_port() -> None:
    cluster = bookinfo().app("web", ("http", 80), pods=[pod("web-1", "10.244.1.1")])
    twice = config(
        "VirtualService", "twice", {"hosts": ["web.default", "NEW.example.com"], "http": [{"route": [to("web")]}]}
    )
    found = hosts_of(resources(cluster.istio(twice)), "80")
    assert list(found["web.default:80"].domains) == ["web.default"]
    assert list(found["new.example.com:80"].domains) == ["new.example.com"]
    others = found["web.default.svc.cluster.local:80"].domains
    assert "web.default" not in others
    assert {"web", "web.default.svc", "web.default.svc.cluster.local"} <= set(others)


def with_web() -> Cluster:
    """Bookinfo, on port 9080, and a service on port 80."""
    return bookinfo().app("web", ("http", 80), pods=[pod("web-1", "10.244.1.1")])


def test_hosts_beside_a_service_are_served_on_its_ports_and_on_port_80() -> None:
    both = config(
        "VirtualService", "both", {"hosts": ["reviews", "new.example.com"], "http": [{"route": [to(subset="v1")]}]}
    )
    found = resources(with_web().app("odd", ("http", 7000), pods=[pod("odd-1", "10.244.1.2")]).istio(both))
    assert list(hosts_of(found, "9080")["new.example.com:9080"].domains) == ["new.example.com"]
    assert list(hosts_of(found, "80")["new.example.com:80"].domains) == ["new.example.com"]
    assert list(hosts_of(found, "80")[f"{REVIEWS}:80"].domains) == [REVIEWS], "port 9080 is meant where it has no other"
    assert hosts_of(found, "80")[f"{REVIEWS}:80"].routes[0].route.cluster == f"outbound|9080|v1|{REVIEWS}"
    assert "new.example.com:7000" not in hosts_of(found, "7000")


def test_a_wildcard_routes_the_services_that_there_are_and_no_unknown_names() -> None:
    wide = config(
        "VirtualService", "w", {"hosts": ["*.svc.cluster.local", "*.example.com"], "http": [{"route": [to("web")]}]}
    )
    found = resources(with_web().istio(wide))
    assert "*.svc.cluster.local:80" not in hosts_of(found, "80")
    assert "*.svc.cluster.local:9080" not in hosts_of(found, "9080")
    assert hosts_of(found, "9080")[f"{REVIEWS}:9080"].routes[0].route.cluster.startswith("outbound|80||web.")
    assert "*.example.com:80" in hosts_of(found, "80"), "no service is called so: it is for unknown names"


def test_a_wildcard_over_services_of_other_ports_is_served_on_port_80() -> None:
    wide = config("VirtualService", "w", {"hosts": ["*.b.svc.cluster.local"], "http": [{"route": [to("web")]}]})
    cluster = with_web().app("far", ("http", 9080), pods=[], namespace="b").istio(wide)
    assert "*.b.svc.cluster.local:80" in hosts_of(resources(cluster), "80")
    assert "*.b.svc.cluster.local:9080" not in hosts_of(resources(cluster), "9080")


def test_the_next_virtual_service_of_a_host_holds_where_the_oldest_has_no_rule() -> None:
    connections = config("VirtualService", "a", {"hosts": ["reviews"], "tcp": [{"route": [to(subset="v1")]}]})
    others = reviews({"match": [{"sourceLabels": {"app": "ratings"}}], "route": [to(subset="v2")]})
    mine = config("VirtualService", "z", {"hosts": [REVIEWS], "http": [{"route": [to(subset="v3")]}]})
    assert only(bookinfo().istio(connections, others, mine)).route.cluster == f"outbound|9080|v3|{REVIEWS}"


def test_of_one_age_the_first_by_name_holds_whatever_its_namespace() -> None:
    def rule(name: str, namespace: str, subset: str) -> dict[str, Any]:
        spec = {"hosts": [REVIEWS], "http": [{"route": [to(REVIEWS, subset)]}]}
        return config("VirtualService", name, spec, namespace=namespace)

    cluster = bookinfo().istio(rule("b", "aaa", "v1"), rule("a", "zzz", "v2"))
    assert only(cluster).route.cluster == f"outbound|9080|v2|{REVIEWS}"


def test_a_port_number_serves_all_that_may_speak_http_there() -> None:
    cluster = with_web().app("odd", ("", 80), pods=[pod("odd-1", "10.244.1.2")])
    domains = hosts_of(resources(cluster), "80")["odd.default.svc.cluster.local:80"].domains
    assert "odd.default" in domains


def test_a_port_that_is_sniffed_serves_its_service_whatever_host_is_asked_for() -> None:
    cluster = bookinfo().app("odd", ("", 7000), pods=[pod("odd-1", "10.244.1.1")])
    (host,) = hosts_of(resources(cluster), "odd.default.svc.cluster.local:7000").values()
    assert list(host.domains) == ["*"]
    assert host.routes[0].route.cluster == "outbound|7000||odd.default.svc.cluster.local"


def test_the_pods_of_a_headless_service_are_known_by_their_names() -> None:
    cluster = bookinfo().add("Service", service("head", ("http", 9080), clusterIP="None"))
    domains = hosts_of(resources(cluster), "9080")["head.default.svc.cluster.local:9080"].domains
    assert {"*.head", "*.head.default", "*.head.default.svc.cluster.local"} <= set(domains)
    reviews_domains = hosts_of(resources(cluster), "9080")[f"{REVIEWS}:9080"].domains
    assert not any(name.startswith("*") for name in reviews_domains)


def test_a_virtual_service_for_connections_does_not_change_requests() -> None:
    only_tcp = config("VirtualService", "r", {"hosts": ["reviews"], "tcp": [{"route": [to(subset="v1")]}]})
    assert only(bookinfo().istio(only_tcp)).route.cluster == f"outbound|9080||{REVIEWS}"
