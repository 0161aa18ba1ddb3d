"""What a patch is for. Source: pilot/pkg/networking/core/envoyfilter of Istio 1.30."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from mesh_lab.controlplane.model.envoyfilter import FilterMatch, PatchContext
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.patches.patch import Patch

_VIRTUAL = (names.VIRTUAL_INBOUND, names.VIRTUAL_OUTBOUND)
_ACTIONS = {"route": "ROUTE", "redirect": "REDIRECT", "direct_response": "DIRECT_RESPONSE"}
# Istio's filters for DENY and ALLOW have one name; routes configure them here, by names of their own.
_RBAC = "envoy.filters.http.rbac"
Ports = Mapping[int, Collection[int]]
"""The numbers of a gateway's Gateways, by the numbers at which its listeners are."""


class ClusterName(NamedTuple):
    """What a cluster's name says: `DIRECTION|PORT|SUBSET|HOST`. Nothing for names of another form."""

    direction: str = ""
    port: int = 0
    subset: str = ""
    host: str = ""

    @classmethod
    def of(cls, name: str) -> ClusterName:
        """The parts of a name."""
        parts = name.split("|")
        if len(parts) != 4 or not parts[1].isdigit():
            return cls()
        return cls(parts[0], int(parts[1]), parts[2], parts[3])


def listener(patch: Patch, message: Any) -> bool:
    """Whether a patch is for a listener, or for something within it."""
    match = patch.listener
    if match is None:
        return True
    if match.name and match.name != message.name:
        return False
    # The listeners of all ports have these in their chains.
    if patch.apply_to != "LISTENER" and message.name in _VIRTUAL:
        return True
    return not match.port_number or message.address.socket_address.port_value == match.port_number


def chain(patch: Patch, message: Any, filter_chain: Any) -> bool:
    """Whether a patch is for a filter chain of a listener that it is for."""
    match, present = patch.listener, filter_chain.filter_chain_match
    if match is None:
        return True
    port = present.destination_port.value
    if message.name in _VIRTUAL and match.port_number and match.port_number != port:
        return False
    wanted = match.filter_chain
    if wanted is None:
        return True
    protocols = wanted.application_protocols.split(",") if wanted.application_protocols else ()
    return (
        (not wanted.name or wanted.name == filter_chain.name)
        and (not wanted.sni or wanted.sni in present.server_names)
        and (not wanted.transport_protocol or wanted.transport_protocol == present.transport_protocol)
        and all(protocol in present.application_protocols for protocol in protocols)
        and (not wanted.destination_port or wanted.destination_port == port)
    )


def named_listener_filter(patch: Patch) -> str:
    """The listener filter that a patch names, or nothing."""
    return patch.listener.listener_filter if patch.listener is not None else ""


def named_filter(patch: Patch) -> FilterMatch | None:
    """The network filter that a patch names, if any."""
    match = patch.listener
    return match.filter_chain.filter if match is not None and match.filter_chain is not None else None


def network_filter(patch: Patch, name: str) -> bool:
    """Whether a patch is for a network filter of that name, or for something within it."""
    match = named_filter(patch)
    return match is None or match.name == name


def named_http_filter(patch: Patch) -> str | None:
    """The HTTP filter that a patch names, if any."""
    match = named_filter(patch)
    return match.sub_filter.name if match is not None and match.sub_filter is not None else None


def http_filter(patch: Patch, name: str) -> bool:
    """Whether a patch is for an HTTP filter of that name."""
    wanted = named_http_filter(patch)
    return wanted is None or wanted == name or (wanted == _RBAC and name.startswith(f"{_RBAC}."))


def routes(patch: Patch, context: PatchContext, message: Any, ports: Ports) -> bool:
    """Whether a patch is for a route configuration, or for something within it."""
    match = patch.route
    if match is None:
        return True
    if match.name and match.name != message.name:
        return False
    if context != "GATEWAY":
        return not match.port_number or match.port_number == _route_port(message.name)
    number, port_name, gateway = _gateway_routes(message.name)
    if (match.port_name and match.port_name != port_name) or (match.gateway and match.gateway != gateway):
        return False
    return not match.port_number or match.port_number in ports.get(number, (number,))


def _route_port(name: str) -> int:
    if name.startswith("inbound"):
        return ClusterName.of(name).port
    return int(name) if name.isdigit() else 0


def _gateway_routes(name: str) -> tuple[int, str, str]:
    """Port, name of the port and Gateway (`NAMESPACE/NAME`), of `http.PORT` or `https.PORT.PORTNAME.NAME.NAMESPACE`."""
    kind, *parts = name.split(".")
    if kind == "http" and parts[:1] and parts[0].isdigit():
        return int(parts[0]), "", ""
    if kind == "https" and len(parts) == 4 and parts[0].isdigit():
        return int(parts[0]), parts[1], f"{parts[3]}/{parts[2]}"
    return 0, "", ""


def virtual_host(patch: Patch, message: Any) -> bool:
    """Whether a patch is for a virtual host of routes that it is for."""
    match = patch.route.vhost if patch.route is not None else None
    if match is None:
        return True
    return (not match.name or match.name == message.name) and (
        not match.domain_name or match.domain_name in message.domains
    )


def names_route(patch: Patch) -> bool:
    """Whether a patch names a route."""
    return patch.route is not None and patch.route.vhost is not None and patch.route.vhost.route is not None


def route(patch: Patch, message: Any) -> bool:
    """Whether a patch is for a route of a virtual host that it is for."""
    vhost = patch.route.vhost if patch.route is not None else None
    match = vhost.route if vhost is not None else None
    if match is None:
        return True
    if match.name and match.name != message.name:
        return False
    action = _ACTIONS.get(message.WhichOneof("action") or "")
    return match.action == "ANY" or action is None or match.action == action


def cluster(patch: Patch, name: str, hosts: Collection[str]) -> bool:
    """Whether a patch is for a cluster. `hosts` are the services of an inbound one, whose name does not have them."""
    match = patch.cluster
    if match is None:
        return True
    if match.name:
        return match.name == name
    parts = ClusterName.of(name)
    known = hosts if parts.direction == "inbound" and hosts else (parts.host,)
    return (
        (not match.subset or match.subset == parts.subset)
        and (not match.service or match.service in known)
        and (not match.port_number or match.port_number == parts.port)
    )
