"""Overlays on what is deployed for a Gateway."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds.gatewayapi import infrastructure, listeners, overlays
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.xds.gatewayapi.objects import edge, gateway, holds, status

NAMED = {"parametersRef": {"group": "", "kind": "ConfigMap", "name": "own"}}


def config_map(name: str, namespace: str = "default", of_class: str = "", **data: str) -> dict[str, Any]:
    labels = {"gateway.istio.io/defaults-for-class": of_class} if of_class else {}
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels}, "data": data}


def deployed(cluster: Cluster) -> dict[str, Any]:
    (state,) = listeners.gateways(Sources.of(cluster.snapshot()))
    return {each["kind"]: each for each in infrastructure.objects(state)}


def accepted(cluster: Cluster) -> tuple[str, str]:
    return holds(status(cluster, GATEWAY, "edge")["conditions"], "Accepted")


def test_overlays_change_what_is_deployed() -> None:
    replicas = "spec: {replicas: 2, template: {spec: {containers: [{name: istio-proxy, env: [{name: A, value: b}]}]}}}"
    ports = "spec: {type: NodePort, ports: [{port: 80, nodePort: 30080}]}"
    own = config_map("own", deployment=replicas, service=ports)
    cluster = edge(gateway(infrastructure=NAMED)).add("ConfigMap", own)
    made = deployed(cluster)
    assert accepted(cluster) == ("True", "Accepted")
    assert made["Deployment"]["spec"]["replicas"] == 2
    (proxy,) = made["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert (proxy["image"], proxy["env"]) == ("auto", [{"name": "A", "value": "b"}])
    assert made["Service"]["spec"]["type"] == "NodePort"
    by_number = {each["port"]: each for each in made["Service"]["spec"]["ports"]}
    assert (by_number[80]["nodePort"], by_number[80]["name"]) == (30080, "http-80")
    assert 15021 in by_number


def test_a_classes_parameters_come_before_a_gateways_own() -> None:
    own = config_map("own", deployment="spec: {replicas: 3}")
    of_all = config_map("all", "istio-system", "istio", deployment="spec: {replicas: 2, paused: true}")
    cluster = edge(gateway(infrastructure=NAMED)).add("ConfigMap", own, of_all)
    spec = deployed(cluster)["Deployment"]["spec"]
    assert (spec["replicas"], spec["paused"]) == (3, True)
    assert deployed(edge().add("ConfigMap", of_all))["Deployment"]["spec"]["replicas"] == 2
    elsewhere = config_map("all", "default", "istio", deployment="spec: {replicas: 2}")
    assert "replicas" not in deployed(edge().add("ConfigMap", elsewhere))["Deployment"]["spec"]


@pytest.mark.parametrize(
    "data",
    [
        {"other": "spec: {}"},
        {"deployment": "- a"},
        {"deployment": "a: ["},
        {"deployment": "metadata: {name: other}"},
        {"service": "spec: {$setElementOrder/ports: []}"},
    ],
)
def test_what_is_no_overlay_is_told(data: dict[str, str]) -> None:
    cluster = edge(gateway(infrastructure=NAMED)).add("ConfigMap", config_map("own", **data))
    assert accepted(cluster) == ("False", "InvalidParameters")


def test_parameters_that_are_none_are_told() -> None:
    assert accepted(edge(gateway(infrastructure=NAMED))) == ("False", "InvalidParameters")
    other = {"parametersRef": {"group": "x.io", "kind": "Other", "name": "own"}}
    assert accepted(edge(gateway(infrastructure=other))) == ("False", "InvalidParameters")


def test_lists_are_merged_by_their_keys() -> None:
    base = {"volumes": [{"name": "a", "x": 1}, {"name": "b"}], "args": ["1"], "gone": 1, "kept": {"p": 1}}
    over = overlays.read(
        "deployment",
        "{volumes: [{name: a, y: 2}, {name: b, $patch: delete}, {name: c}], args: ['2'], gone: null, kept: {q: 2}}",
    )
    assert overlays.merged(base, over) == {
        "volumes": [{"name": "a", "x": 1, "y": 2}, {"name": "c"}],
        "args": ["2"],
        "kept": {"p": 1, "q": 2},
    }
    assert overlays.merged(base, {"kept": {"$patch": "replace", "z": 1}})["kept"] == {"z": 1}
    assert overlays.merged(base, {"volumes": [{"$patch": "replace"}, {"name": "z"}]})["volumes"] == [{"name": "z"}]
