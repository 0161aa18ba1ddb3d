"""All that translation may read: the cluster and Istio's resources at one moment, as `world` makes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar, cast

from mesh_lab.controlplane.model import AuthorizationPolicy, DestinationRule, PeerAuthentication, VirtualService
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.certificates import TlsSecret
from mesh_lab.controlplane.world.configmapdata import ConfigMapData
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import (
    Deployment,
    Ingress,
    Namespace,
    Node,
    ObjectKey,
    Origin,
    Pod,
    Service,
)
from mesh_lab.controlplane.world.locality import NOWHERE, Locality, of_pod
from mesh_lab.controlplane.world.meshconfig import MeshConfig
from mesh_lab.controlplane.world.revisions import Injector

DRY_RUN = "istio.io/dry-run"

K = TypeVar("K")
V = TypeVar("V")
S = TypeVar("S", bound=Spec)
S_co = TypeVar("S_co", bound=Spec, covariant=True)


class Table(dict[K, V]):
    """A dict that does not change, compared by identity, so that it can be memoised on."""

    __slots__ = ()
    __hash__ = object.__hash__  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other


@dataclass(frozen=True, eq=False)
class Config(Generic[S_co]):
    """One Istio resource. `created` orders those that compete: the oldest wins, then the first by name.

    `annotations` are Istio's: others change nothing. `any_workload` marks a policy whose selector could not be read, so
    that it is for every workload that it might select. `merged_from` are the delegates of a VirtualService. `assigned`
    are the addresses that the status of a ServiceEntry gives its hosts.
    """

    origin: Origin
    namespace: str
    name: str
    labels: Mapping[str, str]
    created: str
    spec: S_co
    annotations: Mapping[str, str] = field(default_factory=dict)
    any_workload: bool = False
    merged_from: tuple[Origin, ...] = ()
    assigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    healthy: bool = True

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The object, and those that it was merged from."""
        return (self.origin, *self.merged_from)

    @property
    def precedence(self) -> tuple[str, str, str]:
        """Sorts the configurations as Istio does (`configCompareByCreationTime`)."""
        return (self.created, self.name, self.namespace)


@dataclass(frozen=True, eq=False)
class Endpoint:
    """A ready address of a service, the numbers of the service's ports there, and the pod behind it, if it is one.

    A `weight` of 0 is none of its own. `more` is its address of the other IP family, where the service has both.
    """

    address: str
    ports: Mapping[str, int]
    pod: Pod | None
    locality: Locality = NOWHERE
    weight: int = 0
    more: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ServiceEndpoints:
    """The ready endpoints of a service, and the service accounts (`namespace/name`) of all its pods, ready or not."""

    endpoints: tuple[Endpoint, ...] = ()
    accounts: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()


NO_ENDPOINTS = ServiceEndpoints()


class KeySource(NamedTuple):
    """Where the keys of tokens are fetched: at a URI, or where the issuer's metadata say (OpenID Connect Discovery)."""

    issuer: str
    uri: str


class Keys(NamedTuple):
    """The keys that were fetched last, as JSON, empty if none ever were; and why the last attempt failed, if it did."""

    text: str = ""
    problem: str = ""


class Reading(NamedTuple):
    """What a dialect's objects stand for, in the model that translation reads; by namespace and a name of their own.

    `services` are the Services of which they say what is spoken, as they are then.
    """

    routes: Table[ObjectKey, Config[VirtualService]] = Table()
    rules: Table[ObjectKey, Config[DestinationRule]] = Table()
    peers: Table[ObjectKey, Config[PeerAuthentication]] = Table()
    policies: Table[ObjectKey, Config[AuthorizationPolicy]] = Table()
    services: Table[ObjectKey, Service] = Table()


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The world at one moment; `version` grows with each change.

    `dialects` has the objects of further kinds than Istio's, and `readers` what they stand for: pure functions.
    """

    version: int
    mesh: MeshConfig
    services: Table[ObjectKey, Service]
    endpoints: Table[ObjectKey, ServiceEndpoints]
    pods: Table[ObjectKey, Pod]
    pods_by_ip: Table[str, Pod]
    namespaces: Table[str, Namespace]
    deployments: Table[ObjectKey, Deployment]
    nodes: Table[str, Node]
    ingresses: Table[ObjectKey, Ingress]
    ingress_classes: Table[str, str]
    secrets: Table[ObjectKey, TlsSecret]
    configs: Table[str, Table[ObjectKey, Config[Spec]]]
    invalid: Table[tuple[str, str, str], tuple[Finding, ...]]
    injectors: Table[ObjectKey, Injector] = field(default_factory=Table)
    keys: Table[KeySource, Keys] = field(default_factory=Table)
    config_maps: Table[ObjectKey, ConfigMapData] = field(default_factory=Table)
    gatewayapi: Table[str, Table[ObjectKey, Resource[Spec]]] = field(default_factory=Table)
    dialects: Table[str, Table[ObjectKey, Resource[Spec]]] = field(default_factory=Table)
    readers: tuple[Callable[[Snapshot], Reading], ...] = ()

    def locality(self, pod: Pod) -> Locality:
        """Where a pod runs."""
        node = self.nodes.get(pod.node)
        return of_pod(pod.labels, node.locality if node is not None else NOWHERE)

    def of(self, kind: type[S]) -> Table[ObjectKey, Config[S]]:
        """The resources of a kind, by namespace and name."""
        return cast("Table[ObjectKey, Config[S]]", self.configs[kind.__name__])
