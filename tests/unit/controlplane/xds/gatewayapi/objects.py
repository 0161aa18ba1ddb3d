"""Builders of the Gateway API's objects, and of a cluster with a Gateway whose pod is there."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.world.gatewayapi import GATEWAY
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.gatewayapi.sources import CONTROLLER
from mesh_lab.controlplane.xds.gatewayapi.statuses import Key, Release, statuses
from tests.unit.controlplane.cluster import Cluster, Object, bookinfo, endpoints, pod, service

NAME_LABEL = "gateway.networking.k8s.io/gateway-name"
POD, SERVICE = "edge-istio-1", "edge-istio"


def made(
    name: str, spec: Object, *, namespace: str = "default", created: str = "2026-01-01", generation: int = 1
) -> Object:
    """An object of the Gateway API's."""
    meta = {"namespace": namespace, "name": name, "generation": generation, "creationTimestamp": created, "uid": name}
    return {"metadata": meta, "spec": spec}


def listener(name: str = "http", port: int = 80, protocol: str = "HTTP", **more: Any) -> Object:
    """A listener that takes routes of all namespaces, unless `more` says otherwise."""
    return {"name": name, "port": port, "protocol": protocol, "allowedRoutes": {"namespaces": {"from": "All"}}, **more}


def gateway(*listeners: Object, name: str = "edge", namespace: str = "default", **more: Any) -> Object:
    """A Gateway of the class `istio`."""
    spec = {"gatewayClassName": "istio", "listeners": list(listeners or (listener(),)), **more}
    return made(name, spec, namespace=namespace)


def to(name: str, port: int = 9080, **more: Any) -> Object:
    """A backend."""
    return {"name": name, "port": port, **more}


def rule(*backends: Object, **more: Any) -> Object:
    """A rule of a route."""
    return {"backendRefs": list(backends), **more}


def path(value: str, kind: str = "PathPrefix", **more: Any) -> Object:
    """A match by path."""
    return {"path": {"type": kind, "value": value}, **more}


def route(name: str, *rules: Object, parent: Object | None = None, namespace: str = "default", **more: Any) -> Object:
    """An HTTPRoute, of the Gateway `edge` by default."""
    created = more.pop("created", "2026-01-01")
    spec = {"parentRefs": [parent or {"name": "edge"}], "rules": list(rules), **more}
    return made(name, spec, namespace=namespace, created=created)


def edge(*gateways: Object, namespace: str = "default") -> Cluster:
    """Bookinfo, the class, Gateways, and the pod and Service of `edge`."""
    labels = {NAME_LABEL: "edge"}
    own = pod(POD, "10.244.1.1", namespace=namespace, app="edge", meshed=False)
    own["metadata"]["labels"] |= labels
    front = service(SERVICE, ("http", 80), ("https", 443), ("tcp", 9000), namespace=namespace, selector=labels)
    cluster = bookinfo()
    cluster.add("GatewayClass", made("istio", {"controllerName": CONTROLLER}, namespace=""))
    cluster.add("Service", front).add("Pod", own)
    cluster.add("EndpointSlice", endpoints(SERVICE, own, namespace=namespace, ports=(("http", 80),)))
    return cluster.add(GATEWAY, *(gateways or (gateway(),)))


def sent(cluster: Cluster) -> Resources:
    """All that the gateway `edge` is sent."""
    return Generator().generate(cluster.snapshot(), cluster.proxy(POD, kind="router"))


def status(cluster: Cluster, kind: str, name: str, namespace: str = "default") -> Object:
    """The status of an object."""
    return statuses(cluster.snapshot(), Release("v1.6.3", "standard"))[Key(kind, namespace, name)]


def holds(conditions: list[Object], kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    (found,) = (each for each in conditions if each["type"] == kind)
    return found["status"], found["reason"]


def of_parent(cluster: Cluster, kind: str, name: str, index: int = 0, namespace: str = "default") -> dict[str, Any]:
    """The conditions of a route at one of its parents: (status, reason) by type."""
    conditions = status(cluster, kind, name, namespace)["parents"][index]["conditions"]
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}
