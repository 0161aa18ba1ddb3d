"""TLSRoute, TCPRoute and UDPRoute: where connections go.

https://gateway-api.sigs.k8s.io/reference/spec/#tlsroute
"""

from __future__ import annotations

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi.common import BackendRef, RouteSpec


class ConnectionRule(Spec, frozen=True):
    """Where connections go."""

    name: str = ""
    backend_refs: list[BackendRef] = []


class TLSRoute(RouteSpec, frozen=True):
    """Connections for some server names (SNI)."""

    hostnames: list[str] = []
    rules: list[ConnectionRule] = []


class TCPRoute(RouteSpec, frozen=True):
    """Connections of any protocol."""

    rules: list[ConnectionRule] = []


class UDPRoute(RouteSpec, frozen=True):
    """Datagrams."""

    rules: list[ConnectionRule] = []
