"""A change of one route leaves what is made of all others as it was, down to the very same objects."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.gatewayapi import backendtls, trafficpolicies
from mesh_lab.controlplane.xds.gatewayapi.listeners import gateways
from mesh_lab.controlplane.xds.gatewayapi.routes import routes
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from mesh_lab.controlplane.xds.ingress import routes as made_routes
from mesh_lab.controlplane.xds.scope import scope_of
from mesh_lab.controlplane.xds.typeurls import RDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.xds.gatewayapi.objects import POD, edge, gateway, made, path, route, rule, to

RELEASE = Release("v1.6.3", "standard")


def team(index: int, weight: int = 1) -> dict[str, Any]:
    rules = rule(to("reviews", weight=weight), matches=[path(f"/{index}")])
    found = route(f"r{index}", rules, hostnames=[f"r{index}.example"])
    found["metadata"]["generation"] = weight
    return found


@pytest.fixture
def cluster() -> Cluster:
    return edge().add("HTTPRoute", *(team(index) for index in range(5)))


def seen(cluster: Cluster, generator: Generator) -> dict[str, Any]:
    """What is made of the cluster for its gateway, and beside that."""
    snapshot = cluster.snapshot()
    generator.generate(snapshot, cluster.proxy(POD, kind="router"))
    with generator.remembering():
        sources = Sources.of(snapshot)
        states = gateways(sources)
        return {
            "gateways": states,
            "routes": {each.resource.name: each for each in routes(sources, states)},
            "services": {config.spec.hosts[0]: config for config in made_routes(snapshot).values()},
            "statuses": statuses(snapshot, RELEASE),
            "scope": scope_of(snapshot, "default", {}, gateway=True),
        }


def test_only_the_route_that_changes_is_read_again(cluster: Cluster) -> None:
    generator = Generator()
    before = seen(cluster, generator)
    cluster.add("HTTPRoute", team(3, weight=2))
    after = seen(cluster, generator)
    assert after["gateways"] == before["gateways"]
    assert after["scope"] is before["scope"], "no client in the mesh has to do with it"
    changed = [name for name in after["routes"] if after["routes"][name] is not before["routes"][name]]
    assert changed == ["r3"]
    assert [host for host, made in after["services"].items() if before["services"][host] is not made] == ["r3.example"]
    stated = [name for name in after["routes"] if _status(after, name) is not _status(before, name)]
    assert stated == ["r3"]


def _status(found: dict[str, Any], name: str) -> Any:
    return found["statuses"][Key("HTTPRoute", "default", name)]


def test_a_route_among_many_of_one_host_is_translated_by_itself(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mesh_lab.controlplane.xds import actions

    generator, filled = Generator(), []
    of_one_host = [route(f"s{index}", rule(to("reviews"), matches=[path(f"/{index}")])) for index in range(5)]
    cluster.add("HTTPRoute", *of_one_host)
    seen(cluster, generator)
    fill = actions.fill

    def counting(*arguments: Any) -> None:
        filled.append(arguments)
        fill(*arguments)

    monkeypatch.setattr(actions, "fill", counting)
    cluster.add("HTTPRoute", route("s2", rule(to("ratings"), matches=[path("/2")])))
    seen(cluster, generator)
    assert len(filled) == 1


def test_another_gateway_leaves_the_hosts_of_a_gateway_as_they_are(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mesh_lab.controlplane.xds import gateway as gateways_of_istio

    generator, serialised = Generator(), []
    seen(cluster, generator)
    serialise = gateways_of_istio.fragment

    def counting(*arguments: Any) -> Any:
        serialised.append(arguments)
        return serialise(*arguments)

    monkeypatch.setattr(gateways_of_istio, "fragment", counting)
    cluster.add(GATEWAY, gateway(name="other"))
    after = generator.generate(cluster.snapshot(), cluster.proxy(POD, kind="router"))
    assert serialised == []
    assert after[RDS].keys() == {"http.80"}
    cluster.add("HTTPRoute", team(3, weight=2))
    generator.generate(cluster.snapshot(), cluster.proxy(POD, kind="router"))
    assert [host.name for host, _ in serialised] == ["r3.example:80"]


def test_policies_are_not_read_again_with_a_route(cluster: Cluster) -> None:
    target = {"group": "", "kind": "Service", "name": "reviews"}
    validation = {"hostname": "reviews.example", "wellKnownCACertificates": "System"}
    cluster.add("BackendTLSPolicy", made("p", {"targetRefs": [target], "validation": validation}))
    retries = {"budget": {"percent": 20}}
    cluster.add("XBackendTrafficPolicy", made("t", {"targetRefs": [target], "retryConstraint": retries}))
    generator = Generator()

    def read() -> list[tuple[object, ...]]:
        sources = Sources.of(cluster.snapshot())
        with generator.remembering():
            return [backendtls.policies(sources), trafficpolicies.policies(sources)]

    before = read()
    assert all(before)
    cluster.add("HTTPRoute", team(3, weight=2))
    after = read()
    assert [now is then for now, then in zip(after, before, strict=True)] == [True, True]
