"""Cluster addresses and node ports: unique, stable, in range."""

from __future__ import annotations

import asyncio
import ipaddress
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.kube import resources as kinds
from mesh_lab.kube.changes import Object
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.registry.kinds.services.addresses import NODE_PORTS
from mesh_lab.kube.store import Store
from tests.unit.kube.registry.manifests import service


async def spec_of(registry: Registry, name: str, **spec: Any) -> Object:
    stored: Object = (await registry.create(kinds.SERVICES, service(name, **spec)))["spec"]
    return stored


async def change(registry: Registry, name: str, **spec: Any) -> Object:
    def set_spec(obj: Object) -> Object:
        obj["spec"] |= spec
        return obj

    stored = await registry.modify(kinds.SERVICES, name, "default", set_spec)
    assert stored is not None
    found: Object = stored["spec"]
    return found


async def test_services_that_are_made_at_once_get_unique_addresses(tmp_path: Path) -> None:
    registry = Registry(Store.open(tmp_path / "journal.db"), service_cidr="10.7.0.0/26")
    await registry.bootstrap()
    specs = await asyncio.gather(*(spec_of(registry, f"s{i}", type="NodePort") for i in range(40)))
    addresses = {spec["clusterIP"] for spec in specs}
    assert len(addresses) == 40
    assert all(ipaddress.ip_address(one) in ipaddress.ip_network("10.7.0.0/26") for one in addresses)
    ports = {spec["ports"][0]["nodePort"] for spec in specs}
    assert len(ports) == 40
    assert ports <= set(NODE_PORTS)
    await registry.store.close()


async def test_a_full_range_says_so_and_a_freed_address_is_taken_again() -> None:
    registry = Registry(Store(), service_cidr="10.7.0.0/29")
    await registry.bootstrap()
    for index in range(7):
        await spec_of(registry, f"s{index}")
    with pytest.raises(ApiError, match=r"range 10\.7\.0\.0/29 is full") as caught:
        await spec_of(registry, "more")
    assert caught.value.code == 500
    freed = registry.get(kinds.SERVICES, "s3", "default")["spec"]["clusterIP"]
    await registry.delete(kinds.SERVICES, "s3", "default")
    assert (await spec_of(registry, "more"))["clusterIP"] == freed


async def test_the_first_addresses_are_reserved_for_services_that_name_theirs(registry: Registry) -> None:
    assert (await spec_of(registry, "dns", clusterIP="10.96.0.10"))["clusterIPs"] == ["10.96.0.10"]
    for index in range(30):
        address = ipaddress.ip_address((await spec_of(registry, f"s{index}"))["clusterIP"])
        assert address >= ipaddress.ip_address("10.96.1.0")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.96.0.10", "provided IP is already allocated"),
        ("10.97.0.1", "the provided network does not match the current range"),
    ],
)
async def test_an_address_that_cannot_be_had_is_refused(registry: Registry, address: str, words: str) -> None:
    await spec_of(registry, "dns", clusterIP="10.96.0.10")
    with pytest.raises(ApiError, match=words) as caught:
        await spec_of(registry, "other", clusterIP=address)
    assert (caught.value.code, caught.value.causes[0].field) == (422, "spec.clusterIPs")


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("ipFamilyPolicy", "RequireDualStack", "spec.ipFamilyPolicy: Invalid value: .*not configured for dual-stack"),
        ("ipFamilies", ["IPv6"], r"spec.ipFamilies\[0\]: Invalid value: .*not configured on this cluster"),
    ],
)
async def test_a_family_that_the_cluster_lacks_is_refused(
    registry: Registry, field: str, value: object, words: str
) -> None:
    with pytest.raises(ApiError, match=words):
        await spec_of(registry, "both", **{field: value})


async def test_a_service_that_only_prefers_two_families_gets_one(registry: Registry) -> None:
    spec = await spec_of(registry, "either", ipFamilyPolicy="PreferDualStack")
    assert spec["ipFamilies"] == ["IPv4"]


async def test_headless_and_external_services_have_no_address(registry: Registry) -> None:
    assert (await spec_of(registry, "headless", clusterIP="None"))["clusterIPs"] == ["None"]
    external = await spec_of(registry, "external", type="ExternalName", externalName="example.com")
    assert not external.keys() & {"clusterIP", "clusterIPs", "ipFamilies"}


async def test_what_was_allocated_stays_over_updates(registry: Registry) -> None:
    first = await spec_of(registry, "web", type="NodePort")
    second = (await registry.update(kinds.SERVICES, service("web", type="NodePort", selector={"app": "new"})))["spec"]
    assert second["clusterIP"] == first["clusterIP"]
    assert second["ports"] == first["ports"]


async def test_node_ports_come_and_go_with_the_type(registry: Registry) -> None:
    assert "nodePort" not in (await spec_of(registry, "web"))["ports"][0]
    opened = await change(registry, "web", type="LoadBalancer")
    assert opened["ports"][0]["nodePort"] in NODE_PORTS
    closed = await change(registry, "web", type="ClusterIP")
    assert "nodePort" not in closed["ports"][0]
    assert not closed.keys() & {"externalTrafficPolicy", "allocateLoadBalancerNodePorts"}
    assert closed["clusterIP"] == opened["clusterIP"]
    external = await change(registry, "web", type="ExternalName", externalName="example.com")
    assert "clusterIP" not in external
    assert (await change(registry, "web", type="ClusterIP"))["clusterIP"]


async def test_a_load_balancer_may_do_without_node_ports(registry: Registry) -> None:
    spec = await spec_of(registry, "web", type="LoadBalancer", allocateLoadBalancerNodePorts=False)
    assert "nodePort" not in spec["ports"][0]


async def test_a_node_port_that_cannot_be_had_is_refused(registry: Registry) -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    await spec_of(registry, "one", type="NodePort", ports=ports)
    with pytest.raises(ApiError, match="provided port is already allocated"):
        await spec_of(registry, "two", type="NodePort", ports=ports)
    with pytest.raises(ApiError, match="The range of valid ports is 30000-32767"):
        await spec_of(registry, "three", type="NodePort", ports=[{"port": 80, "nodePort": 80}])
