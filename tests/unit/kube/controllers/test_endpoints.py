"""The Endpoints beside a Service's slices."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from mesh_lab.kube.controllers.endpoints import subsets
from mesh_lab.kube.resources import DEPLOYMENTS, ENDPOINTS, SERVICES
from tests.unit.kube.controllers.running import Cluster, running_cluster

Object = dict[str, Any]


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    async with running_cluster() as made:
        yield made


def test_ready_and_not_ready_addresses_stand_apart() -> None:
    found = subsets(
        [
            {
                "metadata": {"name": "web-1"},
                "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
                "endpoints": [
                    {"addresses": ["10.0.0.1"], "conditions": {"ready": True}, "nodeName": "lab", "zone": "z"},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": False}},
                ],
            },
            {"metadata": {"name": "web-0"}, "ports": [], "endpoints": []},
        ]
    )
    assert found == [
        {
            "addresses": [{"ip": "10.0.0.1", "nodeName": "lab"}],
            "notReadyAddresses": [{"ip": "10.0.0.2"}],
            "ports": [{"port": 8080, "protocol": "TCP"}],
        }
    ]


async def test_they_follow_the_service(cluster: Cluster) -> None:
    metadata = {"name": "web", "namespace": "default"}
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = {"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    await cluster.registry.create(DEPLOYMENTS, {"metadata": metadata, "spec": spec})
    ports = [{"port": 80, "targetPort": 8080}]
    await cluster.registry.create(
        SERVICES, {"metadata": metadata, "spec": {"selector": {"app": "web"}, "ports": ports}}
    )

    def addresses() -> int:
        stored = cluster.registry.find(ENDPOINTS, "web", "default") or {}
        return sum(len(each.get("addresses") or ()) for each in stored.get("subsets") or ())

    await cluster.until("two addresses", lambda: addresses() == 2)
    stored = cluster.get(ENDPOINTS, "web")
    assert stored["subsets"][0]["ports"][0]["port"] == 8080
    await cluster.registry.update(ENDPOINTS, {**stored, "subsets": []})
    await cluster.until("put right", lambda: addresses() == 2)
    await cluster.registry.delete(SERVICES, "web", "default")
    await cluster.until("gone", lambda: cluster.registry.find(ENDPOINTS, "web", "default") is None)


async def test_what_users_keep_of_a_service_without_selector_stays(cluster: Cluster) -> None:
    metadata = {"name": "far", "namespace": "default"}
    await cluster.registry.create(SERVICES, {"metadata": metadata, "spec": {"ports": [{"port": 80}]}})
    kept = {"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}
    await cluster.registry.create(ENDPOINTS, {"metadata": metadata, "subsets": [kept]})
    await cluster.registry.delete(SERVICES, "far", "default")
    await cluster.settle()
    assert cluster.get(ENDPOINTS, "far")["subsets"][0]["addresses"] == [{"ip": "192.0.2.1"}]
