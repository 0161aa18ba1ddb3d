"""Builders of Consul's objects, of a Bookinfo whose mesh reads them, and what is sent to a client there."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.config.route.v3.route_components_pb2 import Route

from mesh_lab.controlplane.dialects import table
from mesh_lab.controlplane.dialects.consul import statuses
from mesh_lab.controlplane.world.world import World
from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.typeurls import CDS, EDS, RDS
from tests.unit.controlplane.cluster import Cluster, Object, bookinfo, config
from tests.unit.controlplane.envoy import message

CLIENT = "productpage-v1-abc-1"
HOST = "reviews.default.svc.cluster.local"


def consul(*objects: Object) -> Cluster:
    """Bookinfo, with these objects of any vocabulary."""
    cluster = bookinfo(World(dialects=table.chosen(("consul",))))
    return cluster.istio(*objects)


def defaults(name: str = "reviews", protocol: str = "http", **spec: Any) -> Object:
    """ServiceDefaults."""
    return config("ServiceDefaults", name, {"protocol": protocol, **spec})


def resolver(name: str = "reviews", **spec: Any) -> Object:
    """A ServiceResolver; its subsets are Bookinfo's versions, unless `spec` has others."""
    subsets = {v: {"filter": f"Service.Meta.version == {v}"} for v in ("v1", "v2", "v3")}
    return config("ServiceResolver", name, {"subsets": subsets, **spec})


def splitter(*splits: Object, name: str = "reviews", created: str = "2026-01-01") -> Object:
    """A ServiceSplitter."""
    return config("ServiceSplitter", name, {"splits": list(splits)}, created=created)


def router(*routes: Object, name: str = "reviews") -> Object:
    """A ServiceRouter."""
    return config("ServiceRouter", name, {"routes": list(routes)})


def sent(cluster: Cluster, client: str = CLIENT) -> Resources:
    """All that a client's sidecar is sent."""
    return Generator().generate(cluster.snapshot(), cluster.proxy(client))


def routes(cluster: Cluster, host: str = HOST) -> list[Route]:
    """The routes of a host on port 9080."""
    hosts = message(sent(cluster)[RDS]["9080"]).virtual_hosts
    return list(next(each for each in hosts if each.name == f"{host}:9080").routes)


def shares(route: Route) -> dict[str, int]:
    """Where a route leads, by cluster."""
    if route.route.cluster:
        return {route.route.cluster: 100}
    return {each.name: each.weight.value for each in route.route.weighted_clusters.clusters}


def cluster_of(cluster: Cluster, name: str) -> ClusterMessage:
    """A cluster that a client is sent."""
    found: ClusterMessage = message(sent(cluster)[CDS][name])
    return found


def addresses(cluster: Cluster, name: str) -> list[str]:
    """The endpoints of a cluster."""
    assigned = message(sent(cluster)[EDS][name])
    return [each.endpoint.address.socket_address.address for group in assigned.endpoints for each in group.lb_endpoints]


def conditions(cluster: Cluster, kind: str, name: str = "reviews") -> dict[str, Object]:
    """The conditions of an object, by type."""
    found = statuses.statuses(cluster.snapshot())[kind, "default", name]
    return {each["type"]: each for each in found["conditions"]}


def synced(cluster: Cluster, kind: str, name: str = "reviews") -> tuple[str, str]:
    """Whether an object is in effect, and why not."""
    found = conditions(cluster, kind, name)["Synced"]
    return found["status"], found.get("message", "")
