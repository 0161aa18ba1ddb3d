"""ServiceEntries in the analysis: their hosts as services, and hosts that several of them claim."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.model import ServiceEntry
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Service, ServicePort
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds import entries
from mesh_lab.controlplane.xds.entries import EntryConfig
from mesh_lab.controlplane.xds.services import MeshService

ENTRY = "ServiceEntry"


def entry_views(config: EntryConfig) -> dict[str, Service]:
    """The hosts of an entry, each in the terms of a Service; its name is that of its endpoints."""
    return {service.hostname: _view(config, service) for service in entries.services_of(config)}


def _view(config: EntryConfig, service: MeshService) -> Service:
    namespace, name = service.key
    ports = tuple(ServicePort(p.name, p.number, p.target or p.number, "TCP", "") for p in service.ports)
    return Service(
        config.origin, namespace, name, service.address, False, "", ports, {}, config.labels, service.export_to, {}
    )


def entries_are_alone(snapshot: Snapshot) -> Iterator[Finding]:
    """Hosts that a Service has, or that an older entry has otherwise: of those only the first counts.

    Entries of one namespace add up while they find their endpoints alike. Istio does not report the others.
    """
    domain = snapshot.mesh.cluster_domain
    kubernetes = {f"{name}.{namespace}.svc.{domain}" for namespace, name in snapshot.services}
    first: dict[str, MeshService] = {}
    for config in sorted(snapshot.of(ServiceEntry).values(), key=lambda config: config.precedence):
        for number, service in enumerate(entries.services_of(config)):
            host, path = service.hostname, f"spec.hosts[{number}]"
            if host in kubernetes:
                yield _lost(config, path, f"{host} is a Service of the cluster, which comes before a ServiceEntry")
                continue
            other = first.setdefault(host, service)
            if other is not service and _excludes(other, service):
                namespace, name = other.origin.namespace, other.origin.name
                yield _lost(config, path, f"the ServiceEntry {namespace}/{name} is the older one for {host}")


def _excludes(one: MeshService, other: MeshService) -> bool:
    """Whether clients that see both use the first only, with other ports than the second has."""
    unseen = "*" not in (one.export_to or ("*",)) or "*" not in (other.export_to or ("*",))
    both = entries.merged(one, other)
    return not unseen and any(both.port(port.number) is None for port in other.ports)


def _lost(config: EntryConfig, path: str, reason: str) -> Finding:
    text = f"Schema validation warning: {path}: has no effect: {reason}"
    return Finding("warning", "IST0133", text, path, config.origin)
