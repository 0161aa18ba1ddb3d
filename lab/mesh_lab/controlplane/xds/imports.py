"""Sidecar.egress: which services and VirtualServices a workload's proxy sees, and what these lead to.

https://istio.io/latest/docs/reference/config/networking/sidecar/#IstioEgressListener
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from mesh_lab.controlplane.model import Sidecar, VirtualService
from mesh_lab.controlplane.model.virtualservice import HTTPRoute
from mesh_lab.controlplane.world.snapshot import Config
from mesh_lab.controlplane.xds import hosts

Place = tuple[str, str]
"""A namespace, or `*` for all, and a host in it, which may be a wildcard."""


class Egress(NamedTuple):
    """One egress listener: a host that is both imported and excluded is not seen. `port` 0: all that no other has."""

    imported: tuple[Place, ...]
    excluded: tuple[Place, ...]
    port: int = 0

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
    return tuple(_egress(each.hosts, namespace, each.port.number if each.port else 0) for each in listeners)


def shown_at(egress: tuple[Egress, ...], namespace: str, hostname: str, number: int) -> bool:
    """Whether a service is seen at a port: by the listener of that number, or else by the one for all others."""
    own = [listener for listener in egress if listener.port == number] or [each for each in egress if not each.port]
    return not egress or any(listener.shows_service(namespace, hostname) for listener in own)


def _egress(written: Iterable[str], namespace: str, port: int) -> Egress:
    """`.` is the workload's own namespace; a namespace after `~` is excluded, and `~` by itself is all of them."""
    imported: list[Place] = []
    excluded: list[Place] = []
    for pattern in written:
        where, _, host = pattern.rpartition("/")
        plain = where.removeprefix("~")
        place = ({"": "*", ".": namespace}.get(plain, plain), host)
        (excluded if where.startswith("~") else imported).append(place)
    return Egress(tuple(imported), tuple(excluded), port)


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
