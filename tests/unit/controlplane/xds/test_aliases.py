"""ExternalName Services: other names of services, for requests, destinations and gateways."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.report.analysis import analyse
from mesh_lab.controlplane.xds.aliases import ends
from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import CLIENT, REVIEWS, hosts_of, resources

DOMAIN = "svc.cluster.local"


def alias(name: str, target: str, *ports: tuple[str, int], namespace: str = "default") -> dict[str, Any]:
    return service(name, *ports, namespace=namespace, clusterIP="", type="ExternalName", externalName=target)


def aliased(*more: dict[str, Any]) -> Cluster:
    """Bookinfo, whose reviews are also called `alias`."""
    return bookinfo().add("Service", alias("alias", f"{REVIEWS}."), *more)


def rule(host: str, to: str, name: str = "r", **destination: Any) -> dict[str, Any]:
    spec = {"hosts": [host], "http": [{"name": name, "route": [{"destination": {"host": to, **destination}}]}]}
    return config("VirtualService", name, spec)


def clusters_of(cluster: Cluster, host: str) -> set[str]:
    return {route.route.cluster for route in hosts_of(resources(cluster), "9080")[f"{host}:9080"].routes}


def remarks(cluster: Cluster) -> list[tuple[str, str]]:
    return [(finding.code, finding.message) for finding in analyse(cluster.snapshot()) if finding.code != "IST0173"]


def test_an_alias_is_a_domain_of_what_it_stands_for_on_all_of_its_ports() -> None:
    cluster = bookinfo().app("two", ("http", 9080), ("http-b", 8000), pods=[pod("two-1", "10.244.1.1")])
    found = resources(cluster.add("Service", alias("alias", f"two.default.{DOMAIN}", ("http", 80))))
    for port in ("9080", "8000"):
        domains = list(hosts_of(found, port)[f"two.default.{DOMAIN}:{port}"].domains)
        assert {"alias", "alias.default", "alias.default.svc", f"alias.default.{DOMAIN}"} <= set(domains)
        assert len(set(domains)) == len(domains), "Envoy refuses a domain that is named twice"


def test_an_alias_has_no_listener_no_cluster_and_no_port_of_its_own() -> None:
    found = resources(aliased(alias("odd", REVIEWS, ("http", 81), ("", 82), ("tcp", 83))))
    assert not [name for name in found[CDS] if "alias" in name or "odd" in name]
    assert not [name for name in found[LDS] if name.endswith(("_81", "_82", "_83"))]
    assert not {"81", f"odd.default.{DOMAIN}:82"} & found[RDS].keys()


def test_the_rules_of_what_it_stands_for_hold_for_an_alias() -> None:
    cluster = aliased().istio(rule("reviews", "reviews", subset="v1"))
    (host,) = (h for h in hosts_of(resources(cluster), "9080").values() if "alias.default" in h.domains)
    assert [route.route.cluster for route in host.routes] == [f"outbound|9080|v1|{REVIEWS}"]


def test_a_route_to_an_alias_leads_to_what_it_stands_for() -> None:
    chain = alias("chain", f"alias.default.{DOMAIN}", ("http", 9080))
    cluster = aliased(chain).istio(rule("details", "chain", subset="v1"))
    assert clusters_of(cluster, f"details.default.{DOMAIN}") == {f"outbound|9080|v1|{REVIEWS}"}


def test_rules_for_an_alias_itself_hold_for_it_and_not_for_what_it_stands_for() -> None:
    cluster = bookinfo().add("Service", alias("alias", REVIEWS, ("http", 9080)))
    found = hosts_of(resources(cluster.istio(rule("alias", "details"))), "9080")
    assert f"alias.default.{DOMAIN}" in found[f"alias.default.{DOMAIN}:9080"].domains
    assert f"alias.default.{DOMAIN}" not in found[f"{REVIEWS}:9080"].domains
    assert [route.name for route in found[f"{REVIEWS}:9080"].routes] == ["default"]


def test_the_pods_of_a_headless_service_are_known_by_its_aliases_too() -> None:
    cluster = bookinfo().add("Service", service("head", ("http", 9080), clusterIP="None"))
    cluster.add("Service", alias("alias", f"head.default.{DOMAIN}", namespace="b"))
    domains = hosts_of(resources(cluster), "9080")[f"head.default.{DOMAIN}:9080"].domains
    assert {"alias.b", "*.alias.b"} <= set(domains)
    assert "alias" not in domains, "the short name is for the alias' own namespace"


def test_a_circle_of_aliases_and_a_host_outside_are_nobodys_names() -> None:
    some = [alias("a", f"b.default.{DOMAIN}"), alias("b", f"a.default.{DOMAIN}"), alias("out", "a.example")]
    found = hosts_of(resources(bookinfo().add("Service", *some)), "9080")
    assert not [d for host in found.values() for d in host.domains if d.partition(".")[0] in ("a", "b", "out")]


@given(st.dictionaries(st.sampled_from("abcd"), st.sampled_from("abcdXY")))
def test_the_end_of_a_chain_is_no_alias_itself(external: dict[str, str]) -> None:
    found = ends(external)
    assert not found.keys() - external.keys()
    assert not found.values() & external.keys()
    for name in external:
        step, steps = name, 0
        while step in external and steps <= len(external):
            step, steps = external[step], steps + 1
        assert found.get(name) == (None if step in external else step)


def test_a_sidecar_that_lets_a_service_in_lets_in_the_names_that_it_lists() -> None:
    limited = config("Sidecar", "s", {"egress": [{"hosts": [f"./{REVIEWS}", f"./*.b.{DOMAIN}"]}]})
    cluster = aliased().add("Service", alias("other", REVIEWS, namespace="b")).istio(limited)
    domains = hosts_of(resources(cluster), "9080")[f"{REVIEWS}:9080"].domains
    assert "alias.default" not in domains
    wide = config("Sidecar", "s", {"egress": [{"hosts": ["./*"]}]})
    assert "alias.default" in hosts_of(resources(cluster.istio(wide)), "9080")[f"{REVIEWS}:9080"].domains


def test_a_gateway_is_sent_the_clusters_of_what_an_alias_stands_for() -> None:
    gate = pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", istio="gate", meshed=False)
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    raw = {"port": {"number": 9000, "name": "tcp", "protocol": "TCP"}, "hosts": ["*"]}
    front = config("Gateway", "front", {"selector": {"istio": "gate"}, "servers": [server, raw]})
    to = [{"destination": {"host": "alias", "port": {"number": 9080}}}]
    routes = config(
        "VirtualService", "r", {"hosts": ["*"], "gateways": ["front"], "http": [{"route": to}], "tcp": [{"route": to}]}
    )
    found = resources(
        aliased().add("Pod", gate).istio(front, routes), "gate-1", namespace="istio-system", kind="router"
    )
    assert f"outbound|9080||{REVIEWS}" in found[CDS]
    assert [r.route.cluster for h in hosts_of(found, "http.80").values() for r in h.routes] == [
        f"outbound|9080||{REVIEWS}"
    ]
    assert f"outbound|9080||{REVIEWS}".encode() in found[LDS]["0.0.0.0_9000"].body


@pytest.mark.parametrize(
    ("some", "destination", "said"),
    [
        ([alias("a", REVIEWS, ("http", 9080))], {}, []),
        ([alias("a", REVIEWS)], {"port": {"number": 9080}}, []),
        ([alias("a", REVIEWS)], {}, ["IST0112"]),
        ([alias("a", REVIEWS, ("http", 80))], {}, ["IST0101"]),
        ([alias("a", "a.example", ("http", 80))], {}, ["IST0101"]),
        ([alias("a", f"a.default.{DOMAIN}", ("http", 80))], {}, ["IST0101"]),
        ([alias("a", f"b.default.{DOMAIN}"), alias("b", REVIEWS)], {"port": {"number": 1}}, ["IST0101"]),
        ([alias("a", REVIEWS)], {"port": {"number": 9080}, "subset": "v9"}, ["IST0101"]),
    ],
)
def test_a_route_to_an_alias_is_held_against_what_it_stands_for(
    some: list[dict[str, Any]], destination: dict[str, Any], said: list[str]
) -> None:
    cluster = bookinfo().add("Service", *some).istio(rule("details", "a", **destination))
    assert [code for code, _ in remarks(cluster)] == said


def test_a_destination_rule_for_an_alias_has_a_finding_that_it_has_no_effect() -> None:
    pooled = config("DestinationRule", "d", {"host": "alias", "trafficPolicy": {"loadBalancer": {"simple": "RANDOM"}}})
    ((code, message),) = remarks(aliased().istio(pooled))
    assert code == "IST0133"
    assert REVIEWS in message


def test_what_a_route_leads_to_by_an_alias_is_imported_past_a_sidecar() -> None:
    limited = config("Sidecar", "s", {"egress": [{"hosts": [f"./details.default.{DOMAIN}"]}]})
    cluster = aliased(alias("chain", f"alias.default.{DOMAIN}")).istio(limited, rule("details", "chain"))
    assert f"outbound|9080||{REVIEWS}" in resources(cluster)[CDS]
    assert f"{REVIEWS}:9080" not in hosts_of(resources(cluster), "9080")


NAMES, NAMESPACES = ("a", "b", "c"), ("default", "n")
FULL = [f"{name}.{namespace}.{DOMAIN}" for name in NAMES for namespace in NAMESPACES]
HOSTS = st.sampled_from(["a", "A", "b.n", "c.default.svc", *FULL, f"*.{DOMAIN}", "*.n", "x.example", "*.example"])
PORTS = st.lists(
    st.sampled_from([("http", 80), ("", 80), ("tcp", 80), ("http", 81)]), max_size=2, unique_by=lambda port: port[1]
)
SERVICES = st.dictionaries(
    st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMESPACES)),
    st.tuples(st.sampled_from(["", "None", *FULL]), PORTS),
)


@settings(deadline=None, max_examples=50)
@given(SERVICES, st.lists(st.lists(HOSTS, min_size=1, max_size=4), max_size=3))
def test_whatever_services_and_hosts_there_are_no_name_and_no_domain_is_there_twice(
    services: dict[tuple[str, str], tuple[str, list[tuple[str, int]]]], written: list[list[str]]
) -> None:
    cluster = Cluster().add("Pod", pod(CLIENT, "10.244.0.10"))
    for number, ((name, namespace), (target, ports)) in enumerate(services.items()):
        some = [(f"{each}-{port}" if each else "", port) for each, port in ports] or [("http", 80)]
        if target in FULL:
            cluster.add("Service", alias(name, target, *some, namespace=namespace))
        else:
            address = target or f"10.96.1.{number}"
            cluster.add("Service", service(name, *some, namespace=namespace, clusterIP=address))
    for number, hosts in enumerate(written):
        to = [{"destination": {"host": f"a.default.{DOMAIN}"}}]
        cluster.istio(config("VirtualService", f"v{number}", {"hosts": hosts, "http": [{"route": to}]}))
    for built in resources(cluster)[RDS].values():
        virtual_hosts = message(built).virtual_hosts
        names = [host.name for host in virtual_hosts]
        domains = [domain.lower() for host in virtual_hosts for domain in host.domains]
        assert len(set(names)) == len(names)
        assert len(set(domains)) == len(domains)
        assert all(host.domains for host in virtual_hosts)
