"""Keeps the Services that every cluster has: `kubernetes` (the API server) and `kube-dns`.

Their endpoints are on the node, not in pods, so their slices are written here. The Service `kube-dns` reserves its
address; the node itself answers on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mesh_lab.kube.changes import Object
from mesh_lab.kube.config import KubeConfig
from mesh_lab.kube.controllers.base import Controller, Key, Keys, own_key
from mesh_lab.kube.objects.services import SERVICE_NAME_LABEL
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import ENDPOINTSLICES, SERVICES, Resource


def cluster_services(config: KubeConfig) -> dict[Key, tuple[Object, Object]]:
    """Return the wanted Services and slices by their keys."""
    kubernetes = Key("default", "kubernetes")
    dns = Key("kube-system", "kube-dns")
    api_labels = {"component": "apiserver", "provider": "kubernetes"}
    dns_labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    api_ports = [_port("https", "TCP", 443, config.node_api_port)]
    dns_ports = [_port("dns", "UDP", 53, 53), _port("dns-tcp", "TCP", 53, 53)]
    return {
        kubernetes: (
            _service(kubernetes, api_labels, config.api_service_address, api_ports),
            _slice(kubernetes, config.node_address, api_ports),
        ),
        dns: (
            _service(dns, dns_labels, config.dns_address, dns_ports),
            _slice(dns, config.node_address, dns_ports),
        ),
    }


class ClusterServiceController(Controller):
    """Creates these Services and their slices again when they are gone or changed."""

    name = "cluster-service-controller"
    workers = 1

    def __init__(self, registry: Registry, config: KubeConfig) -> None:
        super().__init__(registry)
        self._wanted = cluster_services(config)

    def sources(self) -> Mapping[Resource, Keys]:
        """Services and slices."""
        return {SERVICES: own_key, ENDPOINTSLICES: own_key}

    async def observe(self) -> None:
        """Enqueue all of them at the start, then each that changes."""
        for key in self._wanted:
            self.queue.add(key)
        await super().observe()

    async def reconcile(self, key: Key) -> float | None:
        """Create what is missing; update what differs."""
        if key not in self._wanted:
            return None
        service, endpoints = self._wanted[key]
        await self._keep(SERVICES, key, service, ("spec", "clusterIP"), ("spec", "ports"))
        await self._keep(ENDPOINTSLICES, key, endpoints, ("endpoints",), ("ports",))
        return None

    async def _keep(self, resource: Resource, key: Key, wanted: Object, *paths: tuple[str, ...]) -> None:
        present = self.registry.find(resource, key.name, key.namespace)
        if present is None:
            await self.registry.create(resource, wanted)
        elif any(_at(present, path) != _at(wanted, path) for path in paths):
            metadata = wanted["metadata"] | {"resourceVersion": present["metadata"]["resourceVersion"]}
            await self.registry.update(resource, wanted | {"metadata": metadata})


def _at(obj: Object, path: tuple[str, ...]) -> Any:
    found: Any = obj
    for name in path:
        found = found.get(name) or {}
    return found


def _port(name: str, protocol: str, port: int, target: int) -> Object:
    return {"name": name, "protocol": protocol, "port": port, "targetPort": target}


def _service(key: Key, labels: dict[str, str], address: str, ports: list[Object]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": labels},
        "spec": {"type": "ClusterIP", "clusterIP": address, "ports": ports},
    }


def _slice(key: Key, address: str, ports: list[Object]) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": key.name, "namespace": key.namespace, "labels": {SERVICE_NAME_LABEL: key.name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": p["name"], "protocol": p["protocol"], "port": p["targetPort"]} for p in ports],
    }
