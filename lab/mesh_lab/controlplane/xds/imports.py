"""Sidecar.egress: which services and VirtualServices a workload's proxy sees, and what these lead to.

https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioEgressListener
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mesh_lab.controlplane.model import Sidecar, VirtualService
from mesh_lab.controlplane.model.sidecar import IstioEgressListener
from mesh_lab.controlplane.model.virtualservice import HTTPRoute
from mesh_lab.controlplane.validation.names import UNIX
from mesh_lab.controlplane.world.kubernetes import ServicePort
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.services import Protocol, protocol_of

HTTP_PROXY = "HTTP_PROXY"

Place = tuple[str, str]
"""A namespace, or `*` for all, and a host in it, which may be a wildcard."""


_LOOPBACK = "127.0.0.1"
_ANYWHERE = "0.0.0.0"


class Egress(NamedTuple):
    """One egress listener: a host that is both imported and excluded is not seen. `port` 0: all that no other has.

    `address` is where the listener listens, in place of its hosts' own addresses; `bound`: at a socket of the pod, to
    which nothing is redirected. The stated `protocol` counts in place of the hosts' own. `generic`: it is a proxy of
    HTTP_PROXY or at a Unix domain socket (the address, with port 0), which shows its hosts at each of their own ports.
    """

    imported: tuple[Place, ...]
    excluded: tuple[Place, ...]
    port: int = 0
    address: str = ""
    bound: bool = False
    protocol: Protocol = Protocol.AUTO
    generic: bool = False

    @property
    def routes(self) -> str:
        """The name of the routes of its requests."""
        return str(self.port) if self.port else self.address

    @property
    def needed(self) -> str:
        """What a host has to have to be called by way of the listener."""
        if not self.generic:
            return f"port {self.port}"
        return "a port" if self.protocol.is_http else "one port only, which connections could go to"

    def takes(self, number: int, of: int) -> bool:
        """Whether calls to a port of a host come by the listener, which knows connections to a host by its only port.

        `of` is how many ports the host has.
        """
        return number == self.port if not self.generic else self.protocol.is_http or of == 1

    def shows_service(self, namespace: str, hostname: str) -> bool:
        """Whether it lets a service in."""
        return _within(self.imported, namespace, hostname) and not self._excludes(namespace, hostname)

    def shows_route(self, namespace: str, names: Iterable[str]) -> bool:
        """Whether it lets a VirtualService in: for any of its hosts, and then for all of them."""
        return any(_meets(self.imported, namespace, name) and not self._excludes(namespace, name) for name in names)

    def _excludes(self, namespace: str, host: str) -> bool:
        return _within(self.excluded, namespace, host)


def _within(places: Iterable[Place], namespace: str, host: str) -> bool:
    return any(where in ("*", namespace) and hosts.covers(pattern, host) for where, pattern in places)


def _meets(places: Iterable[Place], namespace: str, host: str) -> bool:
    """Wildcards are taken either way: a VirtualService for `*.example.com` is one for `a.example.com`."""
    return any(where in ("*", namespace) and hosts.intersection(pattern, host) is not None for where, pattern in places)


def egress_of(sidecar: Config[Sidecar] | None, namespace: str) -> tuple[Egress, ...]:
    """The egress listeners of a Sidecar, as a workload of a namespace has them; none where it sees everything."""
    listeners = sidecar.spec.egress if sidecar is not None else ()
    return tuple(_egress(each, namespace) for each in listeners)


def showing(
    egress: tuple[Egress, ...], namespace: str, hostname: str, number: int, *, captured: bool, proxied: bool = True
) -> Egress | None:
    """The listener at which a service is seen at a port: that of the number, or else the one for all others.

    `captured`: calls to the service's own address. Otherwise it may be a listener with an address of its own as well,
    a generic one only where `proxied`.
    """
    redirected = [listener for listener in egress if not listener.address]
    own = [each for each in redirected if each.port == number] or [each for each in redirected if not each.port]
    if not captured:
        own += [each for each in egress if each.address and (proxied if each.generic else each.port == number)]
    return next((listener for listener in own if listener.shows_service(namespace, hostname)), None)


def _egress(listener: IstioEgressListener, namespace: str) -> Egress:
    """`.` is the workload's own namespace; a namespace after `~` is excluded, and `~` by itself is all of them."""
    imported: list[Place] = []
    excluded: list[Place] = []
    for pattern in listener.hosts:
        where, _, host = pattern.rpartition("/")
        plain = where.removeprefix("~")
        place = ({"": "*", ".": namespace}.get(plain, plain), host)
        (excluded if where.startswith("~") else imported).append(place)
    shown, hidden, port = tuple(imported), tuple(excluded), listener.port
    if port is None:
        return Egress(shown, hidden)
    is_socket, is_proxy = listener.bind.startswith(UNIX), port.protocol.upper() == HTTP_PROXY
    bound = is_socket or listener.capture_mode == "NONE"
    spoken = "HTTP" if is_proxy else port.protocol
    protocol = protocol_of(ServicePort("", port.number, port.number, "TCP", spoken))
    if is_socket or is_proxy:
        address = listener.bind or (_LOOPBACK if bound else _ANYWHERE)
        return Egress(shown, hidden, port.number, address, bound, protocol, generic=True)
    return Egress(shown, hidden, port.number, listener.bind or (_LOOPBACK if bound else ""), bound, protocol)


def destinations_of(config: Config[VirtualService], namespace: str, domain: str) -> tuple[str, ...]:
    """The full names of the hosts to which a VirtualService leads clients of a namespace."""
    found = (hosts.resolve(host, config.namespace, domain) for host in _destinations(config.spec, namespace))
    return tuple(dict.fromkeys(found))


def _destinations(spec: VirtualService, namespace: str) -> Iterator[str]:
    for rule in spec.http:
        if _is_for(rule, namespace):
            yield from (share.destination.host for share in rule.route)
            yield from (mirror.destination.host for mirror in rule.mirrors)
            if rule.mirror is not None:
                yield rule.mirror.host
    yield from (share.destination.host for tcp in spec.tcp for share in tcp.route)
    yield from (share.destination.host for tls in spec.tls for share in tls.route)


def _is_for(rule: HTTPRoute, namespace: str) -> bool:
    return not rule.match or any(match.source_namespace in ("", namespace) for match in rule.match)
