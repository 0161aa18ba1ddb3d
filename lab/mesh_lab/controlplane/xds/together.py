"""Istio's resources and what the Gateway API's objects stand for, together: translation does not tell them apart."""

from __future__ import annotations

from typing import TypeVar

from mesh_lab.controlplane.model import DestinationRule, VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Config, Snapshot, Table
from mesh_lab.controlplane.xds.delegation import merged
from mesh_lab.controlplane.xds.gatewayapi import backendtls, serving
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources
from mesh_lab.controlplane.xds.memo import memoised

S = TypeVar("S", bound=Spec)


def routes_of(snapshot: Snapshot) -> Table[ObjectKey, Config[VirtualService]]:
    """The VirtualServices, with the rules that they delegate, and those that the Gateway API's routes stand for."""
    mesh = snapshot.mesh
    written = merged(snapshot.of(VirtualService), mesh.cluster_domain, mesh.default_virtual_service_export_to)
    return together(written, serving.made_routes(Sources.of(snapshot)))


def rules_of(snapshot: Snapshot) -> Table[ObjectKey, Config[DestinationRule]]:
    """The DestinationRules, and those that the Gateway API's policies stand for."""
    return together(snapshot.of(DestinationRule), backendtls.rules(Sources.of(snapshot)))


@memoised
def together(written: Table[ObjectKey, Config[S]], made: Table[ObjectKey, Config[S]]) -> Table[ObjectKey, Config[S]]:
    """Both; the former object where nothing is made."""
    return Table({**written, **made}) if made else written
