"""Short ways to what a proxy is sent."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster
from tests.unit.controlplane.envoy import message

CLIENT = "productpage-v1-abc-1"
REVIEWS = "reviews.default.svc.cluster.local"


def resources(cluster: Cluster, pod: str = CLIENT, *, namespace: str = "default", kind: str = "sidecar") -> Resources:
    """Everything that a pod's proxy is sent."""
    return Generator().generate(cluster.snapshot(), cluster.proxy(pod, namespace, kind))


def cluster_of(cluster: Cluster, name: str, pod: str = CLIENT) -> Any:
    """One cluster."""
    return message(resources(cluster, pod)[CDS][name])


def endpoints_of(cluster: Cluster, name: str, pod: str = CLIENT) -> dict[str, Any]:
    """The endpoints of a cluster, by address."""
    assignment = message(resources(cluster, pod)[EDS][name])
    return {
        each.endpoint.address.socket_address.address: each
        for locality in assignment.endpoints
        for each in locality.lb_endpoints
    }


def listener_of(cluster: Cluster, name: str, pod: str = CLIENT) -> Any:
    """One listener."""
    return message(resources(cluster, pod)[LDS][name])


def hosts_of(found: Resources, name: str) -> dict[str, Any]:
    """The virtual hosts of a RouteConfiguration, by name."""
    return {host.name: host for host in message(found[RDS][name]).virtual_hosts}


def routes_to(cluster: Cluster, host: str = f"{REVIEWS}:9080", pod: str = CLIENT, port: str = "9080") -> list[Any]:
    """The routes of a virtual host."""
    return list(hosts_of(resources(cluster, pod), port)[host].routes)
