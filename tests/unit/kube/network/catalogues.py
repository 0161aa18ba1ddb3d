"""Services and slices as they stand in the store, for tests of the network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mesh_lab.kube.network.endpoints import Catalogue

Object = dict[str, Any]


def service(name: str, address: str = "10.96.0.20", namespace: str = "default", **spec: Any) -> Object:
    """A Service with one TCP port `http` by default."""
    ports = [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}]
    wanted = {"type": "ClusterIP", "clusterIP": address, "ports": ports} | spec
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace, "uid": f"service-{namespace}-{name}"},
        "spec": wanted,
    }


def endpoint_slice(
    of: str,
    addresses: Sequence[str | Mapping[str, Any]],
    namespace: str = "default",
    name: str = "",
    ports: Sequence[Mapping[str, Any]] = ({"name": "http", "port": 8080, "protocol": "TCP"},),
) -> Object:
    """A slice with ready endpoints; a mapping is an endpoint of its own making."""
    endpoints = [
        {"addresses": [each], "conditions": {"ready": True}} if isinstance(each, str) else dict(each)
        for each in addresses
    ]
    name = name or f"{of}-1"
    labels = {"kubernetes.io/service-name": of}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": name, "namespace": namespace, "uid": f"slice-{namespace}-{name}", "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [dict(each) for each in ports],
    }


def catalogue(*objects: Object, namespaces: Sequence[str] = ("default",)) -> Catalogue:
    """A catalogue of these objects."""
    made = Catalogue()
    for name in namespaces:
        made.put_namespace(name)
    for each in objects:
        put = made.put_service if each["kind"] == "Service" else made.put_slice
        put(each)
    return made
