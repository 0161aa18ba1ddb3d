"""Istio's resources, and what other dialects' objects stand for, together: translation does not tell them apart."""

from __future__ import annotations

from typing import TypeVar

from mesh_lab.controlplane.model import AuthorizationPolicy, DestinationRule, PeerAuthentication, VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Service
from mesh_lab.controlplane.world.snapshot import Config, Snapshot, Table
from mesh_lab.controlplane.xds.delegation import merged
from mesh_lab.controlplane.xds.gatewayapi import backendtls, serving, trafficpolicies
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.memo import memoised

S = TypeVar("S", bound=Spec)


def routes_of(snapshot: Snapshot) -> Table[ObjectKey, Config[VirtualService]]:
    """The VirtualServices, with the rules that they delegate, and those that other dialects' routes stand for."""
    mesh = snapshot.mesh
    written = merged(snapshot.of(VirtualService), mesh.cluster_domain, mesh.default_virtual_service_export_to)
    gateway_api = serving.made_routes(Sources.of(snapshot))
    return together(written, gateway_api, *(read(snapshot).routes for read in snapshot.readers))


def rules_of(snapshot: Snapshot) -> Table[ObjectKey, Config[DestinationRule]]:
    """The DestinationRules, and those that other dialects' policies stand for."""
    sources = Sources.of(snapshot)
    gateway_api = (backendtls.rules(sources), trafficpolicies.rules(sources))
    return together(snapshot.of(DestinationRule), *gateway_api, *(read(snapshot).rules for read in snapshot.readers))


def peers_of(snapshot: Snapshot) -> Table[ObjectKey, Config[PeerAuthentication]]:
    """The PeerAuthentications, and what stands for them."""
    return together(snapshot.of(PeerAuthentication), *(read(snapshot).peers for read in snapshot.readers))


def policies_of(snapshot: Snapshot) -> Table[ObjectKey, Config[AuthorizationPolicy]]:
    """The AuthorizationPolicies, and what stands for them."""
    return together(snapshot.of(AuthorizationPolicy), *(read(snapshot).policies for read in snapshot.readers))


def services_of(snapshot: Snapshot) -> Table[ObjectKey, Service]:
    """The Services, speaking what the objects of dialects say."""
    return _speaking(snapshot.services, *(read(snapshot).services for read in snapshot.readers))


@memoised
def _speaking(services: Table[ObjectKey, Service], *made: Table[ObjectKey, Service]) -> Table[ObjectKey, Service]:
    if not any(made):
        return services
    return Table({**services, **{key: service for table in made for key, service in table.items()}})


@memoised
def together(written: Table[ObjectKey, Config[S]], *made: Table[ObjectKey, Config[S]]) -> Table[ObjectKey, Config[S]]:
    """All of them; the former object where nothing is made."""
    if not any(made):
        return written
    return Table({**written, **{key: config for table in made for key, config in table.items()}})
