"""Endpoints that users keep, mirrored into slices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh_lab.kube.controllers.mirroring import MIRROR, is_mirrored, slices_of
from mesh_lab.kube.resources import ENDPOINTS, ENDPOINTSLICES, SERVICES
from tests.unit.kube.controllers.running import Cluster, running_cluster

Object = dict[str, Any]
METADATA = {"name": "far", "namespace": "default"}
SUBSET = {"addresses": [{"ip": "198.35.26.96"}, {"ip": "208.80.153.224"}], "ports": [{"name": "tls", "port": 443}]}
SERVICE = {"spec": {"ports": [{"name": "tls", "port": 443}]}}


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as made:
        yield made


def endpoints(labels: Object | None = None, **more: Any) -> Object:
    return {
        "metadata": {**METADATA, "uid": "u", "labels": labels or {}, **more},
        "kind": "Endpoints",
        "apiVersion": "v1",
    }


@pytest.mark.parametrize(
    ("found", "service", "mirrored"),
    [
        (endpoints(), SERVICE, True),
        (endpoints(), None, False),
        (endpoints(), {"spec": {"selector": {"app": "far"}}}, False),
        (endpoints({"endpointslice.kubernetes.io/skip-mirror": "true"}), SERVICE, False),
        (endpoints({"endpoints.kubernetes.io/managed-by": "endpoint-controller"}), SERVICE, False),
        (endpoints(annotations={"control-plane.alpha.kubernetes.io/leader": "{}"}), SERVICE, False),
        (endpoints(deletionTimestamp="2026-01-01T00:00:00Z"), SERVICE, False),
    ],
    ids=["a user's", "no Service", "a selector", "skipped", "the lab's own", "an election", "deleted"],
)
def test_only_what_users_keep_of_services_without_selector_is_mirrored(
    found: Object, service: Object | None, mirrored: bool
) -> None:
    assert is_mirrored(found, service) is mirrored


def test_a_slice_says_what_a_subset_says() -> None:
    subset = {"addresses": [{"ip": "10.0.0.1", "hostname": "a"}], "notReadyAddresses": [{"ip": "10.0.0.2"}]}
    (made,) = slices_of({**endpoints(), "subsets": [{**subset, "ports": [{"port": 80}]}, {"addresses": []}]})
    assert made["endpoints"] == [
        {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "hostname": "a"},
        {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
    ]
    assert made["ports"] == [{"name": "", "protocol": "TCP", "port": 80}]
    assert made["metadata"]["labels"]["kubernetes.io/service-name"] == "far"


def test_the_addresses_of_each_family_have_a_slice_of_their_own() -> None:
    subset = {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "notReadyAddresses": [{"ip": "fd00::2"}]}
    made = slices_of({**endpoints(), "subsets": [subset]})
    assert [(each["addressType"], [end["addresses"] for end in each["endpoints"]]) for each in made] == [
        ("IPv4", [["10.0.0.1"]]),
        ("IPv6", [["fd00::1"], ["fd00::2"]]),
    ]


async def test_a_slice_never_changes_its_family(cluster: Cluster) -> None:
    await cluster.registry.create(SERVICES, {"metadata": METADATA, **SERVICE})
    await cluster.registry.create(ENDPOINTS, {"metadata": METADATA, "subsets": [SUBSET]})

    def families() -> list[str]:
        slices = cluster.registry.list(ENDPOINTSLICES, "default")
        return [each["addressType"] for each in slices if each["metadata"]["name"].startswith("far-")]

    await cluster.until("mirrored", lambda: families() == ["IPv4"])
    stored = cluster.get(ENDPOINTS, "far")
    await cluster.registry.update(ENDPOINTS, {**stored, "subsets": [{**SUBSET, "addresses": [{"ip": "fd00::1"}]}]})
    await cluster.until("the other family", lambda: families() == ["IPv6"])


async def test_slices_follow_the_object(cluster: Cluster) -> None:
    await cluster.registry.create(SERVICES, {"metadata": METADATA, **SERVICE})
    await cluster.registry.create(ENDPOINTS, {"metadata": METADATA, "subsets": [SUBSET]})

    def mirrored() -> list[list[str]]:
        slices = cluster.registry.list(ENDPOINTSLICES, "default")
        label = "endpointslice.kubernetes.io/managed-by"
        own = (each for each in slices if (each["metadata"].get("labels") or {}).get(label) == MIRROR)
        return [[address for end in each["endpoints"] for address in end["addresses"]] for each in own]

    await cluster.until("mirrored", lambda: mirrored() == [["198.35.26.96", "208.80.153.224"]])
    stored = cluster.get(ENDPOINTS, "far")
    await cluster.registry.update(ENDPOINTS, {**stored, "subsets": [{**SUBSET, "addresses": [{"ip": "192.0.2.1"}]}]})
    await cluster.until("the new address", lambda: mirrored() == [["192.0.2.1"]])
    await cluster.registry.delete(ENDPOINTS, "far", "default")
    await cluster.until("gone", lambda: mirrored() == [])
