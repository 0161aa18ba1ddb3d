"""What the checks look up in a snapshot: hosts, subsets, and the pods of a service."""

from __future__ import annotations

from typing import Any

from mesh_lab.controlplane.model import DestinationRule, ServiceEntry
from mesh_lab.controlplane.report.entries import ENTRY, entry_views
from mesh_lab.controlplane.validation.common import Severity
from mesh_lab.controlplane.world.findings import Finding
from mesh_lab.controlplane.world.kubernetes import Origin, Pod, Service
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, Config, Snapshot
from mesh_lab.controlplane.xds import aliases, entries, hosts
from mesh_lab.controlplane.xds.mtls import selects


class Index:
    """The snapshot, with what the checks look up."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.domain = snapshot.mesh.cluster_domain
        self.services: dict[str, Service] = {
            f"{service.name}.{service.namespace}.svc.{self.domain}": service for service in snapshot.services.values()
        }
        for entry in sorted(snapshot.of(ServiceEntry).values(), key=lambda config: config.precedence):
            for host, service in entry_views(entry).items():
                self.services.setdefault(host, service)
        self._ends = aliases.ends(
            {host: service.external_name for host, service in self.services.items() if service.external_name}
        )
        self._endpoints = entries.endpoint_table(snapshot)
        self.subsets: dict[str, set[str]] = {}
        for config in snapshot.of(DestinationRule).values():
            host = self.resolve(config.spec.host, config)
            self.subsets.setdefault(host, set()).update(subset.name for subset in config.spec.subsets)
        self._wild = hosts.HostIndex({host: service for host, service in self.services.items() if host[0] == "*"})
        self._wildcards = [host for host in self.subsets if host.startswith("*")]
        self._pods: dict[tuple[str, str, str], list[Pod]] = {}
        for pod in snapshot.pods.values():
            for key, value in pod.labels.items():
                self._pods.setdefault((pod.namespace, key, value), []).append(pod)

    def resolve(self, host: str, config: Config[Any]) -> str:
        """A host's full name, as a resource means it."""
        return hosts.resolve(host, config.namespace, self.domain)

    def called(self, host: str) -> str:
        """The host that is meant: itself, or what it is an alias for; empty for aliases in a circle."""
        service = self.services.get(host)
        return self._ends.get(host, "") if service is not None and service.external_name else host

    def has_subset(self, host: str, subset: str) -> bool:
        """Whether any DestinationRule for the host, or a wildcard over it, has the subset."""
        over = (pattern for pattern in self._wildcards if hosts.covers(pattern, host))
        return any(subset in self.subsets.get(pattern, ()) for pattern in (host, *over))

    def find(self, host: str) -> Service | None:
        """The service of that name: of a ServiceEntry also one whose wildcard covers it."""
        return self.services.get(host) or self._wild.find(host)

    def services_of(self, host: str) -> list[Service]:
        """The service of that name, or all under a wildcard."""
        if not host.startswith("*"):
            found = self.find(host)
            return [found] if found is not None else []
        return [service for name, service in self.services.items() if hosts.covers(host, name)]

    def pods_of(self, service: Service) -> list[Pod]:
        """The pods and other workloads that a service selects."""
        if service.origin.kind == ENTRY:
            known = self._endpoints.get((service.namespace, service.name), NO_ENDPOINTS)
            return [endpoint.pod for endpoint in known.endpoints if endpoint.pod is not None]
        written = self._endpoints.get((service.namespace, service.name), NO_ENDPOINTS)
        return [*self._selected(service), *(e.pod for e in written.endpoints if e.pod and e.pod.origin.kind != "Pod")]

    def _selected(self, service: Service) -> list[Pod]:
        for key, value in service.selector.items():
            candidates = self._pods.get((service.namespace, key, value), ())
            return [pod for pod in candidates if selects(service.selector, pod.labels)]
        return []


def finding(severity: Severity, code: str, message: str, path: str, origin: Origin) -> Finding:
    """A finding, as checks write it."""
    return Finding(severity, code, message, path, origin)


def missing(what: str, name: str, path: str, origin: Origin) -> Finding:
    """Something that a resource names, and that is not there."""
    return finding("error", "IST0101", f'Referenced {what} not found: "{name}"', path, origin)
