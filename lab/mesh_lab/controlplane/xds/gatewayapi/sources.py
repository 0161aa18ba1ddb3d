"""What the Gateway API's objects are read beside, and the words in which they are judged."""

from __future__ import annotations

from typing import NamedTuple, TypeVar, cast

from mesh_lab.controlplane.model import ServiceEntry
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi import GatewayClass
from mesh_lab.controlplane.world.certificates import TlsSecret
from mesh_lab.controlplane.world.configmapdata import ConfigMapData
from mesh_lab.controlplane.world.gatewayapi import GATEWAY, Resource
from mesh_lab.controlplane.world.kubernetes import Namespace, ObjectKey, Service
from mesh_lab.controlplane.world.snapshot import Config, Snapshot, Table
from mesh_lab.controlplane.xds.memo import memoised

CONTROLLER = "istio.io/gateway-controller"
"""Istio's name for itself, by which a class says who is in charge; the lab acts in its place."""
CLASS = "istio"
GROUP = "gateway.networking.k8s.io"

S = TypeVar("S", bound=Spec)


class Verdict(NamedTuple):
    """Why something is not as it should be: a reason of the specification's, and words for a person."""

    reason: str
    message: str


class Sources(NamedTuple):
    """The parts of a snapshot that decide what the Gateway API's objects mean."""

    objects: Table[str, Table[ObjectKey, Resource[Spec]]]
    services: Table[ObjectKey, Service]
    entries: Table[ObjectKey, Config[ServiceEntry]]
    secrets: Table[ObjectKey, TlsSecret]
    config_maps: Table[ObjectKey, ConfigMapData]
    namespaces: Table[str, Namespace]
    domain: str
    root_namespace: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> Sources:
        """Those of a snapshot."""
        return cls(
            snapshot.gatewayapi,
            snapshot.services,
            snapshot.of(ServiceEntry),
            snapshot.secrets,
            snapshot.config_maps,
            snapshot.namespaces,
            snapshot.mesh.cluster_domain,
            snapshot.mesh.root_namespace,
        )

    def without_routes(self) -> Sources:
        """The same but for the routes: what a change of one route leaves as it was, down to its identity."""
        others = tuple((kind, table) for kind, table in self.objects.items() if not kind.endswith("Route"))
        return self._replace(objects=_tables(others))

    def all(self, kind: type[S]) -> Table[ObjectKey, Resource[S]]:
        """The objects of a kind."""
        name = GATEWAY if kind.__name__ == "Gateway" else kind.__name__
        return cast("Table[ObjectKey, Resource[S]]", self.objects.get(name, Table()))


@memoised
def _tables(
    tables: tuple[tuple[str, Table[ObjectKey, Resource[Spec]]], ...],
) -> Table[str, Table[ObjectKey, Resource[Spec]]]:
    return Table(tables)


def spec_of(resource: Resource[S]) -> S | None:
    """The spec of an object, as its type; None where it cannot be read."""
    return cast("S | None", resource.decoded.spec)


def is_ours(sources: Sources, class_name: str) -> bool:
    """Whether the lab is in charge of a class."""
    found = sources.all(GatewayClass).get(("", class_name))
    spec = spec_of(found) if found is not None else None
    return spec is not None and spec.controller_name == CONTROLLER
