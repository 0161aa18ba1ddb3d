"""The two IP families in listeners: one that is for any address of IPv4 is for any of IPv6, too, in a mesh of both.

https://istio.io/latest/docs/setup/additional-setup/dual-stack/
"""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.listener.v3.listener_pb2 import Listener

from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.xds.clusters import socket_address

ANY, ANY_OF_IPV6 = "0.0.0.0", "::"


def listen_at(listener: Listener, addresses: Iterable[str]) -> None:
    """Further addresses of a listener, all with the port that it has."""
    port = listener.address.socket_address.port_value
    for address in addresses:
        listener.additional_addresses.add(address=socket_address(address, port))


def listen_anywhere(listener: Listener, mesh: MeshConfig) -> None:
    """Let a listener for any address of IPv4 be for any of IPv6, where the mesh has both."""
    if mesh.dual_stack and listener.address.socket_address.address == ANY:
        listen_at(listener, (ANY_OF_IPV6,))
