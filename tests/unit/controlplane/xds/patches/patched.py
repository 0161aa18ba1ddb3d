"""Short ways to what a patch makes of a proxy's resources."""

from __future__ import annotations

from typing import Any

from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from mesh_lab.controlplane.xds import Generator, Resources
from mesh_lab.controlplane.xds.patches.applying import Patched
from tests.unit.controlplane.cluster import Cluster, config

TYPE = "type.googleapis.com/"
LUA = f"{TYPE}envoy.extensions.filters.http.lua.v3.Lua"
HCM = "envoy.filters.network.http_connection_manager"
ROUTER = "envoy.filters.http.router"
SERVER = "reviews-v1-abc-1"


def lua(name: str = "lua") -> dict[str, Any]:
    """An HTTP filter that does nothing."""
    source = {"inline_string": "function envoy_on_request(handle) end"}
    return {"name": name, "typed_config": {"@type": LUA, "default_source_code": source}}


def patch(apply_to: str, operation: str, value: Any = None, context: str = "ANY", **match: Any) -> dict[str, Any]:
    """One of `configPatches`."""
    change = {"operation": operation, **({"value": value} if value is not None else {})}
    return {"applyTo": apply_to, "match": {"context": context, **match}, "patch": change}


def http(sub_filter: str = "", name: str = HCM, **listener: Any) -> dict[str, Any]:
    """A match of HTTP filters: all, or one."""
    inner = {"name": name, **({"subFilter": {"name": sub_filter}} if sub_filter else {})}
    return {"listener": {**listener, "filterChain": {"filter": inner}}}


def envoy_filter(*patches: dict[str, Any], name: str = "patch", namespace: str = "default", **spec: Any) -> Any:
    """An EnvoyFilter."""
    made = {k: v for k, v in spec.items() if k != "created"}
    created = spec.get("created", "2026-01-01")
    return config("EnvoyFilter", name, {"configPatches": list(patches), **made}, namespace=namespace, created=created)


def patched(cluster: Cluster, pod: str = SERVER, namespace: str = "default", kind: str = "sidecar") -> Patched:
    """What a pod's proxy is sent, and what became of the patches."""
    snapshot = cluster.snapshot()
    assert not snapshot.invalid
    return Generator().patched(snapshot, cluster.proxy(pod, namespace, kind))


def resources(cluster: Cluster, pod: str = SERVER, namespace: str = "default", kind: str = "sidecar") -> Resources:
    """What a pod's proxy is sent."""
    return patched(cluster, pod, namespace, kind).resources


def managers(listener: Any) -> list[Any]:
    """The connection managers of a listener's chains."""
    found = []
    for chain in (*listener.filter_chains, listener.default_filter_chain):
        for each in chain.filters:
            manager = HttpConnectionManager()
            if each.typed_config.Unpack(manager):
                found.append(manager)
    return found


def http_filters(listener: Any) -> list[list[str]]:
    """The names of the HTTP filters of each connection manager."""
    return [[each.name for each in manager.http_filters] for manager in managers(listener)]
