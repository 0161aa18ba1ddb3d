"""The mesh's registry of services, from all sources, and the protocol of each of their ports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin, Service, ServicePort
from mesh_lab.controlplane.xds.memo import memoised


class Protocol(Enum):
    """The protocol of a port. AUTO is detected for each connection."""

    HTTP = "http"
    HTTP2 = "http2"
    GRPC = "grpc"
    TCP = "tcp"
    TLS = "tls"
    AUTO = "auto"

    @property
    def is_http(self) -> bool:
        """Whether the port surely speaks HTTP, so that requests are routed one by one."""
        return self in _HTTP

    @property
    def is_http2(self) -> bool:
        """Whether the application itself speaks HTTP/2."""
        return self in (Protocol.HTTP2, Protocol.GRPC)


_HTTP = frozenset({Protocol.HTTP, Protocol.HTTP2, Protocol.GRPC})

# https://istio.io/latest/docs/ops/configuration/traffic-management/protocol-selection/
_BY_NAME = {
    "http": Protocol.HTTP,
    "http2": Protocol.HTTP2,
    "grpc": Protocol.GRPC,
    "grpc-web": Protocol.GRPC,
    "https": Protocol.TLS,
    "tls": Protocol.TLS,
    "tcp": Protocol.TCP,
    "mongo": Protocol.TCP,
    "mysql": Protocol.TCP,
    "redis": Protocol.TCP,
    "kubernetes.io/h2c": Protocol.HTTP2,
    "kubernetes.io/ws": Protocol.HTTP,
    "kubernetes.io/wss": Protocol.TLS,
}

# Ports whose servers speak first, so that there is nothing to sniff.
_SERVER_FIRST = frozenset({25, 53, 3306, 27017})


def protocol_of(port: ServicePort) -> Protocol:
    """`appProtocol`, then the port's name up to its first dash, then sniffing."""
    stated = declared(port)
    if stated is not None:
        return stated
    return Protocol.TCP if port.port in _SERVER_FIRST else Protocol.AUTO


def declared(port: ServicePort) -> Protocol | None:
    """What a port says that is spoken there; None where it says nothing."""
    stated = _BY_NAME.get(port.app_protocol.lower())
    if stated:
        return stated
    name = port.name.lower()
    return _BY_NAME.get("grpc-web" if name.startswith("grpc-web") else name.partition("-")[0])


class Resolution(Enum):
    """Where a service's endpoints come from."""

    ENDPOINTS = "endpoints"
    ORIGINAL_DESTINATION = "original destination"
    ALIAS = "alias"
    DNS = "each address of a name"
    DNS_ROUND_ROBIN = "one address of a name"
    DYNAMIC_DNS = "the name that each request or connection is for"

    @property
    def by_name(self) -> bool:
        """Whether the proxy looks its endpoints up in DNS."""
        return self in (Resolution.DNS, Resolution.DNS_ROUND_ROBIN)


class MeshPort(NamedTuple):
    """A port of a service, by the number that clients use; `target` is the endpoints' number, where it is another."""

    number: int
    name: str
    protocol: Protocol
    target: int = 0


class Alias(NamedTuple):
    """Another name of a service: an ExternalName Service."""

    hostname: str
    namespace: str
    origin: Origin


@dataclass(frozen=True, eq=False)
class MeshService:
    """A service as clients know it. `external` is the host that an alias stands for; a service knows its `aliases`.

    The rest is for a ServiceEntry: addresses and ranges beside `address`, whether it is outside of the mesh, the names
    in its servers' certificates, and when it was made; and of further entries whose ports it has, what they are and
    where their endpoints are kept. `assigned` are the addresses by which proxies that capture DNS know one without any.
    `other_family` is the address beside `address` of the other IP family: the same listeners are for both.
    """

    origin: Origin
    key: ObjectKey
    hostname: str
    address: str
    ports: tuple[MeshPort, ...]
    resolution: Resolution
    export_to: tuple[str, ...]
    external: str = ""
    aliases: tuple[Alias, ...] = ()
    ranges: tuple[str, ...] = ()
    outside: bool = False
    subject_alt_names: tuple[str, ...] = ()
    created: str = ""
    origins: tuple[Origin, ...] = ()
    more: tuple[ObjectKey, ...] = ()
    assigned: tuple[str, ...] = ()
    other_family: tuple[str, ...] = ()

    @property
    def is_entry(self) -> bool:
        """Whether a ServiceEntry has it, and not Kubernetes."""
        return self.origin.kind == "ServiceEntry"

    @property
    def anywhere(self) -> bool:
        """Whether no address tells its connections from others: only their names do."""
        return self.is_entry and not (self.address or self.ranges)

    traffic_distribution: str = ""

    @property
    def called(self) -> str:
        """The host whose clusters are meant where routes lead here."""
        return self.external if self.resolution is Resolution.ALIAS else self.hostname

    @property
    def namespace(self) -> str:
        """The namespace it is defined in."""
        return self.key[0]

    def port(self, number: int) -> MeshPort | None:
        """The port of that number."""
        return next((port for port in self.ports if port.number == number), None)


@memoised
def from_kubernetes(service: Service, domain: str) -> MeshService:
    """A Kubernetes Service. A headless one is reached at the very address that its client chose."""
    resolution = Resolution.ENDPOINTS
    if service.external_name:
        resolution = Resolution.ALIAS
    elif service.headless:
        resolution = Resolution.ORIGINAL_DESTINATION
    return MeshService(
        service.origin,
        (service.namespace, service.name),
        f"{service.name}.{service.namespace}.svc.{domain}",
        service.cluster_ip,
        tuple(MeshPort(p.port, p.name, protocol_of(p)) for p in service.ports if p.transport == "TCP"),
        resolution,
        service.export_to,
        service.external_name,
        traffic_distribution=service.traffic_distribution,
        other_family=service.more_ips,
    )


@memoised
def listed(service: MeshService) -> MeshService:
    """A headless service's client chooses the address; a gateway's clients know none, so the gateway chooses."""
    if service.resolution is not Resolution.ORIGINAL_DESTINATION:
        return service
    return replace(service, resolution=Resolution.ENDPOINTS)
