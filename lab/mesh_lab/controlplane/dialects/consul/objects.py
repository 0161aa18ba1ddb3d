"""Consul's objects as a snapshot has them: the good ones by service, and what is wrong with the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar, cast

from mesh_lab.controlplane.dialects.consul.checks import problems
from mesh_lab.controlplane.dialects.consul.kinds import ProxyDefaults, ServiceDefaults
from mesh_lab.controlplane.model import WorkloadEntry
from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import Namespace, ObjectKey, Origin, Pod, Service
from mesh_lab.controlplane.world.snapshot import Config, Snapshot, Table
from mesh_lab.controlplane.xds.entries import workload

S = TypeVar("S", bound=Spec)

GLOBAL = "global"
"""The name of the one ProxyDefaults."""
TCP = "tcp"
HTTP_LIKE = frozenset({"http", "http2", "grpc"})


@dataclass(frozen=True)
class Entry(Generic[S]):
    """A good object, with its spec."""

    origin: Origin
    created: str
    spec: S


class Sources(NamedTuple):
    """The parts of a snapshot that decide what Consul's objects mean."""

    objects: Table[str, Table[ObjectKey, Resource[Spec]]]
    services: Table[ObjectKey, Service]
    pods: Table[ObjectKey, Pod]
    machines: Table[ObjectKey, Config[WorkloadEntry]]
    namespaces: Table[str, Namespace]
    domain: str
    root_namespace: str

    @classmethod
    def of(cls, snapshot: Snapshot) -> Sources:
        """Those of a snapshot."""
        mesh = snapshot.mesh
        return cls(
            snapshot.dialects,
            snapshot.services,
            snapshot.pods,
            snapshot.of(WorkloadEntry),
            snapshot.namespaces,
            mesh.cluster_domain,
            mesh.root_namespace,
        )

    @property
    def workloads(self) -> tuple[Pod, ...]:
        """The pods, and what WorkloadEntries stand for in the terms of pods."""
        return (*self.pods.values(), *map(workload, self.machines.values()))

    def all(self, kind: type[S]) -> Table[ObjectKey, Resource[S]]:
        """The objects of a kind."""
        return cast("Table[ObjectKey, Resource[S]]", self.objects.get(kind.__name__, Table()))

    def good(self, kind: type[S]) -> Iterator[Entry[S]]:
        """The objects of a kind that are in no error."""
        for key in self.all(kind):
            if (entry := self.one(kind, key)) is not None:
                yield entry

    def one(self, kind: type[S], key: ObjectKey) -> Entry[S] | None:
        """The object of a kind for a service; None where there is none, or it is in error."""
        resource = self.all(kind).get(key)
        spec = spec_of(resource) if resource is not None else None
        return Entry(resource.origin, resource.created, spec) if resource is not None and spec is not None else None

    def host(self, key: ObjectKey) -> str:
        """A service's full name."""
        return f"{key[1]}.{key[0]}.svc.{self.domain}"


def spec_of(resource: Resource[S]) -> S | None:
    """The spec of an object; None where it is in error."""
    spec = resource.decoded.spec
    if spec is None or any(problem.severity == "error" for problem in problems(resource.name, spec)):
        return None
    return cast("S", spec)


def defaults_of(sources: Sources, key: ObjectKey) -> tuple[ServiceDefaults | None, ProxyDefaults | None]:
    """What a service has of its own, and what holds where that says nothing."""
    own, shared = sources.one(ServiceDefaults, key), proxy_defaults(sources, key[0])
    return own.spec if own is not None else None, shared.spec if shared is not None else None


def proxy_defaults(sources: Sources, namespace: str) -> Entry[ProxyDefaults] | None:
    """The ProxyDefaults, which hold for all services: of several in different namespaces that of the service's own."""
    own = sources.one(ProxyDefaults, (namespace, GLOBAL))
    if own is not None:
        return own
    others = sorted(sources.good(ProxyDefaults), key=lambda entry: (entry.created, entry.origin.namespace))
    return others[0] if others else None


def protocol_of(sources: Sources, key: ObjectKey) -> str:
    """What a service speaks as Consul has it: what its ServiceDefaults say, else ProxyDefaults, else TCP."""
    return stated_protocol(sources, key) or TCP


def stated_protocol(sources: Sources, key: ObjectKey) -> str:
    """The same; empty where nothing says it."""
    own, shared = defaults_of(sources, key)
    stated = own.protocol if own is not None else ""
    if not stated and shared is not None:
        stated = str(shared.config.get("protocol", "") or "")
    return stated.lower()


def is_permissive(sources: Sources, key: ObjectKey) -> bool:
    """Whether a service takes plain text beside mutual TLS: where ServiceDefaults, or else ProxyDefaults, say so."""
    own, shared = defaults_of(sources, key)
    stated = own.mutual_tls_mode if own is not None else ""
    return (stated or (shared.mutual_tls_mode if shared is not None else "")) == "permissive"
