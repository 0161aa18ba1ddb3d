"""What is deployed for Gateways."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.deployment.gateways import Gateways
from mesh_lab.controlplane.kube.client import Object
from mesh_lab.controlplane.kube.definitions import Definitions
from mesh_lab.controlplane.kube.kinds import GATEWAY_API, Kind
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds.gatewayapi import infrastructure, listeners
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER, Sources
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway, listener, made


class Api:
    def __init__(self) -> None:
        self.created: list[str] = []
        self.applied: list[tuple[str, str]] = []
        self.made, self.complete = asyncio.Event(), asyncio.Event()

    async def create(self, kind: Kind, obj: Object, namespace: str = "") -> Object:
        self.created.append(f"{kind.kind} {obj['metadata']['name']}")
        self.made.set()
        return obj

    async def apply(self, kind: Kind, obj: Object, manager: str) -> Object:
        assert manager == CONTROLLER
        self.applied.append((kind.kind, obj["metadata"]["name"]))
        if len(self.applied) == 3:
            self.complete.set()
        return obj


def of(obj: Object) -> dict[str, Object]:
    (state,) = listeners.gateways(Sources.of(edge(obj).snapshot()))
    return {each["kind"]: each for each in infrastructure.objects(state)}


def test_a_deployment_a_service_and_an_account_of_the_gateways_own() -> None:
    own = {"labels": {"team": "a"}, "annotations": {"note": "b"}}
    found = of(gateway(listener(), listener("more", port=8080), infrastructure=own))
    assert {each["metadata"]["name"] for each in found.values()} == {"edge-istio"}
    assert {each["metadata"]["ownerReferences"][0]["uid"] for each in found.values()} == {"edge"}
    assert {each["metadata"]["labels"]["team"] for each in found.values()} == {"a"}
    ports = found["Service"]["spec"]["ports"]
    assert [(port["name"], port["port"]) for port in ports] == [
        ("status-port", 15021),
        ("http-80", 80),
        ("http-8080", 8080),
    ]
    assert found["Service"]["spec"]["type"] == "LoadBalancer"
    pod = found["Deployment"]["spec"]["template"]["metadata"]
    assert pod["annotations"] == {"note": "b", "inject.istio.io/templates": "gateway"}
    assert pod["labels"].items() >= found["Deployment"]["spec"]["selector"]["matchLabels"].items()


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ingress.istio-system.svc.cluster.local", "istio-system/ingress"),
        ("ingress", "default/ingress"),
        ("ingress.istio-system", "istio-system/ingress"),
    ],
)
def test_a_gateway_that_names_services_is_deployed_by_others(address: str, expected: str) -> None:
    obj = gateway(addresses=[{"type": "Hostname", "value": address}])
    assert of(obj) == {}
    (state,) = listeners.gateways(Sources.of(edge(obj).snapshot()))
    assert infrastructure.services_of(state.resource, "cluster.local") == (expected,)


def test_a_gateway_that_is_refused_is_not_deployed() -> None:
    parameters = {"group": "", "kind": "ConfigMap", "name": "x"}
    assert of(gateway(infrastructure={"parametersRef": parameters})) == {}


async def test_what_is_missing_is_made_and_what_is_there_is_left_alone() -> None:
    api, state = Api(), ClusterState()
    definitions = SimpleNamespace(found={"GatewayClass": None})
    keeper = Gateways(api, state, cast("Definitions", definitions), Faults(None))

    def put(kind: str, obj: Object) -> None:
        state.apply(GATEWAY_API[kind], "ADDED", obj)

    state.snapshot()
    task = asyncio.ensure_future(keeper.run())
    try:
        async with asyncio.timeout(5):
            await api.made.wait()
            put("GatewayClass", made("istio", {"controllerName": CONTROLLER}, namespace=""))
            put(GATEWAY, gateway())
            state.snapshot()
            await api.complete.wait()
        assert api.created[0] == "GatewayClass istio"
        kinds = [kind for kind, _ in api.applied[:3]]
        assert kinds == ["ServiceAccount", "Deployment", "Service"]
    finally:
        task.cancel()
