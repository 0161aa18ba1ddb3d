"""GRPCRoute: which calls go where.

https://gateway-api.sigs.k8s.io/reference/spec/#grpcroute
"""

from __future__ import annotations

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi.common import RouteSpec, SessionPersistence, ValueMatch
from mesh_lab.controlplane.model.gatewayapi.httproute import HTTPBackendRef, HTTPRouteFilter


class GRPCMethodMatch(Spec, frozen=True):
    """A service, a method, or both; by name or by an expression."""

    type: str = "Exact"
    service: str = ""
    method: str = ""


class GRPCRouteMatch(Spec, frozen=True):
    """Conditions that must all hold."""

    method: GRPCMethodMatch | None = None
    headers: list[ValueMatch] = []


class GRPCRouteRule(Spec, frozen=True):
    """Calls that match one of `matches`, and where they go; without any, all calls."""

    name: str = ""
    matches: list[GRPCRouteMatch] = []
    filters: list[HTTPRouteFilter] = []
    backend_refs: list[HTTPBackendRef] = []
    session_persistence: SessionPersistence | None = None


class GRPCRoute(RouteSpec, frozen=True):
    """Rules for calls to some hosts; without `hostnames`, to all that the parent serves."""

    hostnames: list[str] = []
    rules: list[GRPCRouteRule] = []
