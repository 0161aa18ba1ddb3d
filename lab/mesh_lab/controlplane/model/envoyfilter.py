"""EnvoyFilter: changes to Envoy's configuration, after everything else has made it.

https://istio.io/latest/docs/reference/config/networking/envoy-filter/
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from mesh_lab.controlplane.model.base import (
    FREE_TEXT,
    Int32,
    JsonObject,
    LabelsSelector,
    PolicyTargetReference,
    Port,
    Spec,
    UInt32,
)

ApplyTo = Literal[
    "INVALID",
    "LISTENER",
    "FILTER_CHAIN",
    "NETWORK_FILTER",
    "HTTP_FILTER",
    "ROUTE_CONFIGURATION",
    "VIRTUAL_HOST",
    "HTTP_ROUTE",
    "CLUSTER",
    "EXTENSION_CONFIG",
    "BOOTSTRAP",
    "LISTENER_FILTER",
]
PatchContext = Literal["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"]
Operation = Literal[
    "INVALID",
    "MERGE",
    "ADD",
    "REMOVE",
    "INSERT_BEFORE",
    "INSERT_AFTER",
    "INSERT_FIRST",
    "REPLACE",
    "MERGE_AND_REPLACE_LIST",
]
FreeJson = Annotated[JsonObject, Meta(extra=FREE_TEXT)]


class ProxyMatch(Spec, frozen=True):
    """Proxies by the version in their node's metadata (RE2), and by further metadata."""

    proxy_version: str = ""
    metadata: dict[str, str] = {}


class ClusterMatch(Spec, frozen=True):
    """A cluster, by its name or by what it is made of."""

    port_number: UInt32 = 0
    service: str = ""
    subset: str = ""
    name: str = ""


class RouteMatch(Spec, frozen=True):
    """A route of a virtual host."""

    name: str = ""
    action: Literal["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"] = "ANY"


class VirtualHostMatch(Spec, frozen=True):
    """A virtual host, and a route of it."""

    name: str = ""
    domain_name: str = ""
    route: RouteMatch | None = None


class RouteConfigurationMatch(Spec, frozen=True):
    """A route configuration, and what is within it. `gateway` is `NAMESPACE/NAME`."""

    port_number: UInt32 = 0
    port_name: str = ""
    gateway: str = ""
    vhost: VirtualHostMatch | None = None
    name: str = ""


class SubFilterMatch(Spec, frozen=True):
    """A filter within a filter, such as an HTTP filter of the connection manager."""

    name: str = ""


class FilterMatch(Spec, frozen=True):
    """A filter of a chain."""

    name: str = ""
    sub_filter: SubFilterMatch | None = None


class FilterChainMatch(Spec, frozen=True):
    """A filter chain of a listener. `applicationProtocols` is a list with commas."""

    name: str = ""
    sni: str = ""
    transport_protocol: str = ""
    application_protocols: str = ""
    filter: FilterMatch | None = None
    destination_port: UInt32 = 0


class ListenerMatch(Spec, frozen=True):
    """A listener, and what is within it."""

    port_number: UInt32 = 0
    port_name: str = ""
    filter_chain: FilterChainMatch | None = None
    listener_filter: str = ""
    name: str = ""


class WaypointRouteMatch(Spec, frozen=True):
    """A route of a waypoint."""

    name: str = ""


class WaypointMatch(Spec, frozen=True):
    """What a waypoint is made of."""

    port_number: Port | None = None
    route: WaypointRouteMatch | None = None
    filter: FilterMatch | None = None


class EnvoyConfigObjectMatch(Spec, frozen=True):
    """Which proxies and which of their objects; one kind of object at most."""

    context: PatchContext = "ANY"
    proxy: ProxyMatch | None = None
    listener: ListenerMatch | None = None
    route_configuration: RouteConfigurationMatch | None = None
    cluster: ClusterMatch | None = None
    waypoint: WaypointMatch | None = None


class Patch(Spec, frozen=True):
    """What is done. `value` is Envoy's own JSON: whether Envoy knows it is for the translation to say."""

    operation: Operation = "INVALID"
    value: FreeJson | None = None
    filter_class: Literal["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"] = "UNSPECIFIED"


class EnvoyConfigObjectPatch(Spec, frozen=True):
    """One change."""

    apply_to: ApplyTo = "INVALID"
    match: EnvoyConfigObjectMatch | None = None
    patch: Patch | None = None


class EnvoyFilter(Spec, frozen=True):
    """Changes for some pods' proxies, for a namespace's, or (in the root namespace) for all, in order of priority."""

    workload_selector: LabelsSelector | None = None
    target_refs: Annotated[list[PolicyTargetReference], Meta(max_length=16)] = []
    config_patches: list[EnvoyConfigObjectPatch] = []
    priority: Int32 = 0
