"""Which servers of which Gateways a gateway's pod runs, on which ports, and which VirtualServices they route by."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mesh_lab.controlplane.model import Gateway
from mesh_lab.controlplane.model.gateway import Server
from mesh_lab.controlplane.model.internal import ServiceGateway
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin, Pod
from mesh_lab.controlplane.world.snapshot import Config, Table
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.exports import exported
from mesh_lab.controlplane.xds.hosts import gateway_name
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.mtls import selects
from mesh_lab.controlplane.xds.scope import RouteConfig

GatewayConfig = Config[Gateway]

_PLAIN = frozenset({"HTTP", "HTTP2", "HTTP_PROXY", "GRPC", "GRPC-WEB"})


@dataclass(frozen=True, eq=False)
class GatewayServer:
    """One server of a Gateway on one port of a pod: `target` is where the pod listens for the Service's port.

    Compared by identity, as `Attached` is: they are keys of the memory, a thousand of them for each changed route.
    """

    config: GatewayConfig
    server: Server
    target: int

    @property
    def gateway(self) -> str:
        """The Gateway, as VirtualServices name it."""
        return f"{self.config.namespace}/{self.config.name}"

    @property
    def plain_http(self) -> bool:
        """Requests without TLS."""
        return self.server.port.protocol.upper() in _PLAIN

    @property
    def ends_tls(self) -> bool:
        """Requests with TLS that ends here."""
        return self.server.port.protocol.upper() == "HTTPS" and self._ends_tls

    @property
    def ends_tls_of_connections(self) -> bool:
        """Connections of any protocol within TLS that ends here."""
        return self.server.port.protocol.upper() == "TLS" and self._ends_tls

    @property
    def _ends_tls(self) -> bool:
        mode = self.server.tls.mode if self.server.tls else None
        return mode not in (None, "PASSTHROUGH", "AUTO_PASSTHROUGH")

    @property
    def passes_tls(self) -> bool:
        """TLS that is passed through by the server name (SNI) of the client."""
        # Settings that name no mode pass it on: PASSTHROUGH is Istio's default.
        passing = self.server.tls is not None and self.server.tls.mode in (None, "PASSTHROUGH")
        return self.server.port.protocol.upper() in ("TLS", "HTTPS") and passing

    @property
    def passes_mesh(self) -> bool:
        """Mutual TLS of the mesh that is passed through by a server name that says the cluster."""
        mode = self.server.tls.mode if self.server.tls else None
        return self.server.port.protocol.upper() in ("TLS", "HTTPS") and mode == "AUTO_PASSTHROUGH"

    @property
    def plain_tcp(self) -> bool:
        """Connections of any protocol."""
        return self.server.port.protocol.upper() in ("TCP", "MONGO", "MYSQL", "REDIS")

    def hosts(self) -> Iterator[tuple[str, str]]:
        """The hosts, each with the namespace (or `*`) whose VirtualServices may route it."""
        for host in self.server.hosts:
            where, _, name = host.rpartition("/")
            yield ({"": "*", ".": self.config.namespace}.get(where, where), name.lower())


Ports = tuple[tuple[int | str, int], ...]


@memoised
def servers_of(
    gateways: Table[ObjectKey, GatewayConfig], pod: Pod, service_ports: Iterable[Ports], services: tuple[ObjectKey, ...]
) -> tuple[GatewayServer, ...]:
    """The servers of all Gateways that select a pod, oldest first. A Gateway without a selector is for every gateway.

    Some are for the pods of a Service instead; `services` are those of this pod.

    A Gateway names the port of the gateway's Service; the pod listens on the target of that port.
    """
    targets: dict[int, int] = {}
    for ports in service_ports:
        for target, number in ports:
            container = target if isinstance(target, int) else pod.ports.get(target)
            if container is not None:
                targets.setdefault(number, container)
    return tuple(
        _server(config, server, targets.get(server.port.number, server.port.number))
        for config in sorted(gateways.values(), key=lambda c: c.precedence)
        if _is_for(config.spec, pod, services)
        for server in config.spec.servers
    )


@memoised
def _server(config: GatewayConfig, server: Server, target: int) -> GatewayServer:
    """The same object for the same server: other Gateways come and go."""
    return GatewayServer(config, server, target)


def _is_for(spec: Gateway, pod: Pod, services: Iterable[ObjectKey]) -> bool:
    if isinstance(spec, ServiceGateway):
        return not {f"{namespace}/{name}" for namespace, name in services}.isdisjoint(spec.services)
    return selects(spec.selector, pod.labels)


@dataclass(frozen=True, eq=False)
class Attached:
    """A host of a server, and the VirtualService that routes it there."""

    host: str
    server: GatewayServer
    config: RouteConfig


def attached(
    servers: tuple[GatewayServer, ...],
    routes: Table[ObjectKey, RouteConfig],
    namespace: str,
    domain: str,
    default: tuple[str, ...],
) -> tuple[Attached, ...]:
    """The VirtualServices for the hosts of servers, oldest first; of two hosts the narrower is served.

    `default` is the mesh's `exportTo` for those that have none.
    """
    known = _by_gateway(routes)
    return _attached(servers, tuple(known.get(each.gateway, ()) for each in servers), namespace, domain, default)


@memoised
def _by_gateway(routes: Table[ObjectKey, RouteConfig]) -> Table[str, tuple[RouteConfig, ...]]:
    """The VirtualServices by the Gateways that they name, oldest first."""
    found: dict[str, list[RouteConfig]] = {}
    for config in sorted(routes.values(), key=lambda config: config.precedence):
        for name in dict.fromkeys(gateway_name(each, config.namespace) for each in config.spec.gateways):
            found.setdefault(name, []).append(config)
    return Table({name: tuple(some) for name, some in found.items()})


@memoised
def _attached(
    servers: tuple[GatewayServer, ...],
    routes: tuple[tuple[RouteConfig, ...], ...],
    namespace: str,
    domain: str,
    default: tuple[str, ...],
) -> tuple[Attached, ...]:
    """By the routes that name the Gateway of each server: those of others change nothing here."""
    return tuple(
        each
        for server, some in zip(servers, routes, strict=True)
        for config in some
        if exported(config.spec.export_to or default, config.namespace, namespace)
        for each in _at(server, config, domain)
    )


@memoised
def _at(server: GatewayServer, config: RouteConfig, domain: str) -> tuple[Attached, ...]:
    return tuple(Attached(host, server, config) for host in _hosts_in_common(server, config, domain))


def _hosts_in_common(server: GatewayServer, config: RouteConfig, domain: str) -> Iterator[str]:
    seen: set[str] = set()
    for wanted in config.spec.hosts:
        host = hosts.resolve(wanted, config.namespace, domain)
        for namespace, pattern in server.hosts():
            common = hosts.intersection(pattern, host) if namespace in ("*", config.namespace) else None
            if common is not None and common not in seen:
                seen.add(common)
                yield common


def origins_of(servers: Iterable[GatewayServer]) -> tuple[Origin, ...]:
    """The Gateways behind servers, once each."""
    return tuple(dict.fromkeys(server.config.origin for server in servers))
