"""Which endpoints a client prefers by locality, and what of a DestinationRule decides on it."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.xds.typeurls import CDS, EDS
from tests.unit.controlplane.cluster import Cluster, config, mesh_config, pod, service
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import resources

NAME = "outbound|80||a.default.svc.cluster.local"
Labels = dict[str, dict[str, str]]
PLACES = {"near": "r1.z1.s1", "next": "r1.z1.s2", "zone": "r1.z2.s1", "far": "r2.z1.s1", "other": "r3.z1.s1"}


def cluster(rule: dict[str, Any] | None = None, client: str = "r1.z1.s1", labels: Labels | None = None) -> Cluster:
    """A service with an endpoint in each of five places, and a client."""
    labels = labels or {}
    pods = []
    for index, (name, place) in enumerate(PLACES.items()):
        one = pod(f"a-{name}", f"10.244.0.{10 + index}", app="a")
        one["metadata"]["labels"] |= {"istio-locality": place, **labels.get(name, {})}
        pods.append(one)
    caller = pod("client-1", "10.244.0.2")
    caller["metadata"]["labels"] |= {"istio-locality": client, **labels.get("client", {})}
    found = Cluster().app("a", ("http", 80), pods=pods).add("Pod", caller)
    return found.istio(config("DestinationRule", "a", {"host": "a", "trafficPolicy": rule})) if rule else found


def seen(found: Cluster, name: str = NAME) -> dict[str, tuple[int, int]]:
    """The priority and the weight of each endpoint's locality."""
    by_address = {f"10.244.0.{10 + index}": name for index, name in enumerate(PLACES)}
    assignment = message(resources(found, "client-1")[EDS][name])
    return {
        by_address[each.endpoint.address.socket_address.address]: (group.priority, group.load_balancing_weight.value)
        for group in assignment.endpoints
        for each in group.lb_endpoints
    }


def order(found: Cluster) -> dict[str, int]:
    return {name: priority for name, (priority, _) in seen(found).items()}


def locality(detect: bool = True, **setting: Any) -> dict[str, Any]:
    return {"loadBalancer": {"localityLbSetting": setting}} | ({"outlierDetection": {}} if detect else {})


def test_without_detection_of_failures_all_are_alike() -> None:
    assert set(order(cluster()).values()) == {0}
    assert set(order(cluster(locality(detect=False, failover=[{"from": "r1", "to": "r2"}]))).values()) == {0}


def test_with_it_the_nearest_come_first_even_without_a_setting() -> None:
    assert order(cluster({"outlierDetection": {}})) == {"near": 0, "next": 1, "zone": 2, "far": 3, "other": 3}
    assert order(cluster({"outlierDetection": {}}, client="r2.z1.s1"))["far"] == 0


def test_a_region_is_chosen_to_stand_in() -> None:
    found = cluster(locality(failover=[{"from": "r1", "to": "r3"}]))
    assert order(found) == {"near": 0, "next": 1, "zone": 2, "other": 3, "far": 4}
    assert message(resources(found, "client-1")[CDS][NAME]).common_lb_config.HasField("locality_weighted_lb_config")


@pytest.mark.parametrize("where", ["rule", "mesh"])
def test_it_can_be_turned_off(where: str) -> None:
    found = cluster(locality(enabled=False) if where == "rule" else {"outlierDetection": {}})
    if where == "mesh":
        found.add("ConfigMap", mesh_config("localityLbSetting: {enabled: false}"))
    assert set(order(found).values()) == {0}


def test_shares_go_to_the_localities_that_are_named_and_to_no_other() -> None:
    found = cluster(locality(detect=False, distribute=[{"from": "r1/z1/*", "to": {"r1/z1/*": 70, "r2/*": 30}}]))
    assert seen(found) == {"near": (0, 35), "next": (0, 35), "far": (0, 30)}
    assert message(resources(found, "client-1")[CDS][NAME]).common_lb_config.HasField("locality_weighted_lb_config")


def test_shares_of_another_locality_do_not_concern_a_client() -> None:
    found = cluster(locality(distribute=[{"from": "r2/*", "to": {"r1/*": 100}}]))
    assert seen(found) == dict.fromkeys(PLACES, (0, 1))


def test_labels_decide_in_their_order() -> None:
    labels: Labels = {
        "client": {"k": "1", "v": "2"},
        "zone": {"k": "1", "v": "2"},
        "far": {"k": "1"},
        "near": {"v": "2"},
    }
    assert order(cluster(locality(failoverPriority=["k", "v"]), labels=labels)) == {
        "zone": 0,
        "far": 1,
        "near": 2,
        "next": 2,
        "other": 2,
    }
    named = cluster(locality(failoverPriority=["topology.kubernetes.io/region=r2"]), labels=labels)
    assert {name for name, priority in order(named).items() if priority == 0} == {"far"}


@pytest.mark.parametrize("how", ["field", "annotation"])
def test_a_service_keeps_its_traffic_close(how: str) -> None:
    found = cluster()
    close = service("a", ("http", 80))
    if how == "field":
        close["spec"]["trafficDistribution"] = "PreferClose"
    else:
        close["metadata"]["annotations"] = {"networking.istio.io/traffic-distribution": "PreferClose"}
    assert order(found.add("Service", close)) == {"near": 0, "next": 0, "zone": 1, "far": 2, "other": 2}


def test_zones_are_left_to_envoy_and_regions_fail_over() -> None:
    policy = {"loadBalancer": {"zoneAwareLbSetting": {"minClusterSize": 3, "failover": [{"from": "r1", "to": "r3"}]}}}
    found = cluster(policy | {"outlierDetection": {}})
    assert order(found) == {"near": 0, "next": 0, "zone": 0, "other": 1, "far": 2}
    config = message(resources(found, "client-1")[CDS][NAME]).common_lb_config.zone_aware_lb_config
    assert config.min_cluster_size.value == 3


def test_a_pod_is_where_its_node_is() -> None:
    def node(region: str) -> dict[str, Any]:
        labels = {"topology.kubernetes.io/region": region, "topology.kubernetes.io/zone": "z"}
        return {"metadata": {"name": "lab", "labels": labels}}

    plain = Cluster().app("a", ("http", 80), pods=[pod("a-1", "10.244.0.10")]).add("Pod", pod("client-1", "10.244.0.2"))
    for region in ("r1", "r2"):
        (group,) = message(resources(plain.add("Node", node(region)), "client-1")[EDS][NAME]).endpoints
        assert (group.locality.region, group.locality.zone) == (region, "z")
