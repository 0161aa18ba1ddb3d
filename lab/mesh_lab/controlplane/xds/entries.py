"""ServiceEntry: a service for each of its hosts, and the workloads behind them.

Source: pilot/pkg/serviceregistry/serviceentry/conversion.go of Istio 1.30.
https://istio.io/latest/docs/reference/config/networking/service-entry/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from mesh_lab.controlplane.model.serviceentry import ServiceEntry
from mesh_lab.controlplane.model.serviceentry import ServicePort as EntryPort
from mesh_lab.controlplane.model.workloads import WorkloadEntry
from mesh_lab.controlplane.world.kubernetes import TLS_MODE_LABEL, ObjectKey, Origin, Pod, Service, ServicePort
from mesh_lab.controlplane.world.locality import NOWHERE, Locality, of_pod
from mesh_lab.controlplane.world.snapshot import NO_ENDPOINTS, Config, Endpoint, ServiceEndpoints, Snapshot, Table
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.services import MeshPort, MeshService, Protocol, Resolution, protocol_of

EntryConfig = Config[ServiceEntry]
Entries = Table[ObjectKey, EntryConfig]
Workloads = Table[ObjectKey, Config[WorkloadEntry]]
EndpointTable = Table[ObjectKey, ServiceEndpoints]

UNIX = "unix://"
_ALLOCATE_LABEL = "networking.istio.io/enable-autoallocate-ip"

_RESOLUTIONS: Mapping[str, Resolution] = {
    "NONE": Resolution.ORIGINAL_DESTINATION,
    "STATIC": Resolution.ENDPOINTS,
    "DNS": Resolution.DNS,
    "DNS_ROUND_ROBIN": Resolution.DNS_ROUND_ROBIN,
    "DYNAMIC_DNS": Resolution.DYNAMIC_DNS,
}


@memoised
def services_of(config: EntryConfig) -> tuple[MeshService, ...]:
    """A service for each host. Of its addresses the first single one is where it is; all others are ranges."""
    spec = config.spec
    plain = [address for each in spec.addresses if "/" not in (address := address_alone(each))]
    address, given = plain[0] if plain else "", frozenset(hosts_given_addresses(config))
    ports = tuple(_port(port) for port in spec.ports if port.protocol.upper() != "UDP")
    return tuple(
        MeshService(
            config.origin,
            key_of(config, host),
            host.lower(),
            address,
            ports,
            _RESOLUTIONS[spec.resolution],
            tuple(spec.export_to),
            ranges=tuple(each for each in map(address_alone, spec.addresses) if each != address),
            outside=spec.location == "MESH_EXTERNAL",
            subject_alt_names=tuple(spec.subject_alt_names),
            created=config.created,
            assigned=config.assigned.get(host, ()) if host in given else (),
        )
        for host in dict.fromkeys(spec.hosts)
    )


def hosts_given_addresses(config: EntryConfig) -> tuple[str, ...]:
    """The hosts that are given an address (`ShouldV2AutoAllocateIP` in Istio): where none is written or opted out of.

    To addresses that clients choose themselves (NONE) nothing leads; a wildcard has one where its names are looked up.
    """
    spec = config.spec
    opted_out = config.labels.get(_ALLOCATE_LABEL, "").lower() == "false"
    if spec.addresses or spec.resolution == "NONE" or opted_out:
        return ()
    hosts = dict.fromkeys(spec.hosts)
    return tuple(host for host in hosts if spec.resolution == "DYNAMIC_DNS" or not host.startswith("*"))


@memoised
def at_assigned(service: MeshService) -> MeshService:
    """A service at the addresses that it was given, if it has no other."""
    if not (service.anywhere and service.assigned):
        return service
    first, *others = service.assigned
    return replace(service, address=first, other_family=tuple(others))


def selecting(written: Entries, pod: Pod) -> list[tuple[MeshService, tuple[tuple[int | str, int], ...]]]:
    """The services of entries that select a pod, with the targets and numbers of their ports."""
    found = [config for config in written.values() if _selects(config, pod.namespace, pod.labels)]
    own = own_numbers(pod)
    return [
        (service, tuple((own.get(port.name) or port.target or port.number, port.number) for port in service.ports))
        for config in sorted(found, key=lambda config: config.precedence)
        for service in services_of(config)
    ]


def own_numbers(pod: Pod) -> Mapping[str, int]:
    """The numbers that a workload has for a service's ports, by the names of those; only a WorkloadEntry states any."""
    return pod.ports if pod.origin.kind == WorkloadEntry.__name__ else {}


def key_of(config: EntryConfig, host: str) -> ObjectKey:
    """Where the endpoints of a host are kept; no Service has such a name."""
    return (config.namespace, f"{config.name}/{host.lower()}")


def address_alone(address: str) -> str:
    """An address without the mask of one that stands for itself; a range stays as it is."""
    return address.removesuffix("/128" if ":" in address else "/32")


def _port(port: EntryPort) -> MeshPort:
    """The protocol is given, as in an `appProtocol`; without one it is told from the first bytes."""
    declared = ServicePort("", port.number, port.number, "TCP", port.protocol)
    protocol = protocol_of(declared) if port.protocol else Protocol.AUTO
    return MeshPort(port.number, port.name, protocol, port.target_port or 0)


def merged(one: MeshService, other: MeshService) -> MeshService:
    """Two entries of a namespace for one host: one service with the ports of both (`canMergeServices` in Istio)."""
    alike = (one.namespace, one.resolution, one.export_to) == (other.namespace, other.resolution, other.export_to)
    more = tuple(port for port in other.ports if one.port(port.number) is None)
    return _with_ports(one, other, more) if alike and more and one.is_entry and other.is_entry else one


@memoised
def _with_ports(one: MeshService, other: MeshService, more: tuple[MeshPort, ...]) -> MeshService:
    return replace(one, ports=(*one.ports, *more), origins=(*one.origins, other.origin), more=(*one.more, other.key))


def endpoints_of(service: MeshService, table: EndpointTable) -> ServiceEndpoints:
    """The endpoints of a service: its own, and those of the entries whose ports it has."""
    own = table.get(service.key, NO_ENDPOINTS)
    return _joined((own, *(table.get(key, NO_ENDPOINTS) for key in service.more))) if service.more else own


@memoised
def _joined(parts: tuple[ServiceEndpoints, ...]) -> ServiceEndpoints:
    return ServiceEndpoints(
        tuple(endpoint for part in parts for endpoint in part.endpoints),
        tuple(dict.fromkeys(account for part in parts for account in part.accounts)),
        tuple(origin for part in parts for origin in part.origins),
    )


class _Member(NamedTuple):
    """A workload behind an entry, and what the entry, or the workload's own resource, says of it."""

    entry: WorkloadEntry | None
    pod: Pod


def endpoint_table(snapshot: Snapshot) -> EndpointTable:
    """The endpoints of Services and of ServiceEntries; the snapshot's own table where there are no entries at all."""
    entries, workloads = snapshot.of(ServiceEntry), snapshot.of(WorkloadEntry)
    if not entries and not workloads:
        return snapshot.endpoints
    return _table(
        snapshot.endpoints,
        _entry_endpoints(entries, workloads, snapshot.pods),
        _selected_by_services(snapshot.services, workloads, snapshot.endpoints),
    )


@memoised
def _table(known: EndpointTable, entered: EndpointTable, added: EndpointTable) -> EndpointTable:
    return Table({**known, **added, **entered})


@memoised
def _selected_by_services(
    services: Table[ObjectKey, Service], workloads: Workloads, known: EndpointTable
) -> EndpointTable:
    """The endpoints of Services that select WorkloadEntries beside pods: those with an address."""
    found: dict[ObjectKey, ServiceEndpoints] = {}
    for key, service in services.items():
        chosen = [
            config
            for config in workloads.values()
            if service.selector
            and config.healthy
            and config.namespace == service.namespace
            and selects(service.selector, labels_of(config))
            and is_address(config.spec.address)
        ]
        if chosen:
            found[key] = _beside(known.get(key), service, tuple(chosen))
    return Table(found)


@memoised
def _beside(
    known: ServiceEndpoints | None, service: Service, chosen: tuple[Config[WorkloadEntry], ...]
) -> ServiceEndpoints:
    ports = tuple(
        MeshPort(port.port, port.name, Protocol.TCP, port.target if isinstance(port.target, int) else 0)
        for port in service.ports
    )
    before = known or ServiceEndpoints()
    members = [workload(config) for config in chosen]
    added = [_endpoint(_Member(config.spec, pod), ports) for config, pod in zip(chosen, members, strict=True)]
    return ServiceEndpoints(
        (*before.endpoints, *added),
        tuple(dict.fromkeys([*before.accounts, *_accounts(members)])),
        tuple(config.origin for config in chosen),
    )


@memoised
def _entry_endpoints(entries: Entries, workloads: Workloads, pods: Table[ObjectKey, Pod]) -> EndpointTable:
    found: dict[ObjectKey, ServiceEndpoints] = {}
    for config in entries.values():
        selector = config.spec.workload_selector
        chosen: tuple[Config[WorkloadEntry], ...] = ()
        running: tuple[Pod, ...] = ()
        if selector is not None and config.spec.resolution != "NONE":
            chosen = tuple(
                each
                for each in workloads.values()
                if each.healthy and _selects(config, each.namespace, labels_of(each))
            )
            running = tuple(pod for pod in pods.values() if _selects(config, pod.namespace, pod.labels))
        for host in config.spec.hosts:
            found[key_of(config, host)] = _endpoints_of(config, host.lower(), chosen, running)
    return Table(found)


def _selects(config: EntryConfig, namespace: str, labels: Mapping[str, str]) -> bool:
    selector = config.spec.workload_selector
    return selector is not None and namespace == config.namespace and selects(selector.labels, labels)


@memoised
def _endpoints_of(
    config: EntryConfig, host: str, chosen: tuple[Config[WorkloadEntry], ...], running: tuple[Pod, ...]
) -> ServiceEndpoints:
    """The endpoints that are written, or selected; of an entry by DNS that has none, its host."""
    spec = config.spec
    ports = tuple(_port(port) for port in spec.ports)
    members = [
        _Member(each, _pod_of(config, f"{config.name}-{i}", each, each.labels)) for i, each in enumerate(spec.endpoints)
    ]
    members += [_Member(each.spec, workload(each)) for each in chosen]
    if spec.resolution in ("DNS", "DNS_ROUND_ROBIN") and not spec.endpoints and spec.workload_selector is None:
        itself = WorkloadEntry(address=host)
        members.append(_Member(itself, _pod_of(config, config.name, itself, {})))
    members += [_Member(None, pod) for pod in running if pod.ready]
    return ServiceEndpoints(
        tuple(_endpoint(member, ports) for member in members if member.pod.ip),
        tuple(_accounts([member.pod for member in members])),
        tuple(each.origin for each in chosen),
    )


def labels_of(config: Config[WorkloadEntry]) -> Mapping[str, str]:
    """The labels of a WorkloadEntry: of its object, and of its spec."""
    return {**config.spec.labels, **config.labels}


@memoised
def workload(config: Config[WorkloadEntry]) -> Pod:
    """A WorkloadEntry in the terms of a pod, so that it is selected and counted as one."""
    return _pod_of(config, config.name, config.spec, labels_of(config))


def _pod_of(
    config: Config[ServiceEntry] | Config[WorkloadEntry], name: str, entry: WorkloadEntry, labels: Mapping[str, str]
) -> Pod:
    """It speaks mutual TLS if its label says so or, without that label, if it has a service account."""
    mutual = labels.get(TLS_MODE_LABEL, "istio" if entry.service_account else "")
    return Pod(
        Origin(config.origin.kind, config.namespace, config.name),
        config.namespace,
        name,
        entry.address,
        labels,
        entry.service_account,
        name,
        mutual == "istio",
        "",
        entry.ports,
    )


def _accounts(pods: list[Pod]) -> Iterator[str]:
    return iter(dict.fromkeys(f"{pod.namespace}/{pod.service_account}" for pod in pods if pod.service_account))


def _endpoint(member: _Member, ports: tuple[MeshPort, ...]) -> Endpoint:
    """Its own number for a port of that name comes first, then the port's target, then the port."""
    entry, pod = member
    given = entry.ports if entry is not None else {}
    numbers = {port.name: given.get(port.name) or port.target or port.number for port in ports}
    own = Locality.parse(entry.locality) if entry is not None and entry.locality else of_pod(pod.labels, NOWHERE)
    return Endpoint(pod.ip, numbers, pod, own, entry.weight if entry is not None else 0)


def is_address(text: str) -> bool:
    """Whether an endpoint is at an IP address, and not at a name or a socket."""
    return bool(text) and not text.startswith(UNIX) and (":" in text or text.replace(".", "").isdigit())
