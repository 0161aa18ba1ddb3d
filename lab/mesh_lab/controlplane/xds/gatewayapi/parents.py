"""What a route attaches to, or why it does not: listeners; in the mesh Services and, as with Istio, ServiceEntries.

https://gateway-api.sigs.k8s.io/reference/spec/#parentreference
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mesh_lab.controlplane.model.gatewayapi import ParentReference, RouteSpec
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.world.kubernetes import ObjectKey
from mesh_lab.controlplane.world.snapshot import Table
from mesh_lab.controlplane.xds import hosts
from mesh_lab.controlplane.xds.gatewayapi.listeners import GatewayState, ListenerState, allows
from mesh_lab.controlplane.xds.gatewayapi.sources import GROUP, Sources, Verdict


class Attached(NamedTuple):
    """A listener that takes a route, and the hosts that they have in common."""

    listener: ListenerState
    hosts: tuple[str, ...]


class Called(NamedTuple):
    """What clients in the mesh call, and a route is for: a Service or a ServiceEntry, with its hosts."""

    kind: str
    namespace: str
    name: str
    hosts: tuple[str, ...]

    def server_names(self, hostnames: list[str]) -> list[str]:
        """By which server names a TLSRoute with these hostnames is for it: of a ServiceEntry only such as are its own.

        A Service is called by its address: whatever name the client says is for it.
        """
        if self.kind == "Service":
            return hostnames or list(self.hosts)
        common = (hosts.intersection(own, each.lower()) for own in self.hosts for each in hostnames or ["*"])
        return list(dict.fromkeys(each for each in common if each is not None))


class Parent(NamedTuple):
    """One of a route's parents: the listeners that take the route, or what is called; or why it is refused there.

    `port` is that of what is called, 0 for all.
    """

    ref: ParentReference
    listeners: tuple[Attached, ...] = ()
    called: Called | None = None
    port: int = 0
    refused: Verdict | None = None

    @property
    def in_mesh(self) -> bool:
        """Whether it is no listener."""
        return self.ref.group != GROUP


Index = Table[tuple[str, str, str], tuple[ListenerState, ...]]
"""The listeners by the object that they stand in: (kind, namespace, name)."""


def index(gateways: tuple[GatewayState, ...]) -> Index:
    """The listeners of all Gateways, by their owners."""
    found: dict[tuple[str, str, str], tuple[ListenerState, ...]] = {}
    for state in gateways:
        found["Gateway", *state.resource.key] = state.listeners
        for each in state.sets:
            found["ListenerSet", *each.resource.key] = each.listeners
    return Table(found)


def parents_of(
    route: Resource[RouteSpec], spec: RouteSpec, hostnames: list[str], index: Index, sources: Sources
) -> Iterator[Parent]:
    """The parents that the lab is in charge of; of others' nothing is said."""
    for ref in spec.parent_refs:
        namespace = ref.namespace or route.namespace
        if ref.group == GROUP:
            listeners = index.get((ref.kind, namespace, ref.name))
            if listeners is not None:
                yield _at_listeners(ref, route, hostnames, listeners, sources)
        elif (ref.group, ref.kind) in _CALLED:
            yield _in_mesh(ref, (namespace, ref.name), route, hostnames, sources)


_ISTIO = "networking.istio.io"
_CALLED = (("", "Service"), (_ISTIO, "ServiceEntry"))


def _in_mesh(
    ref: ParentReference, key: ObjectKey, route: Resource[RouteSpec], hostnames: list[str], sources: Sources
) -> Parent:
    where = f"{ref.kind} {key[0]}/{key[1]}"
    if route.origin.kind == "UDPRoute":
        return Parent(ref, refused=Verdict("UnsupportedValue", "sidecars leave UDP alone"))
    found = _entry(key, sources) if ref.group == _ISTIO else _service(key, sources)
    if found is None:
        return Parent(ref, refused=Verdict("NoMatchingParent", f"{where}: there is none"))
    called, ports = found
    if ref.section_name and ref.section_name not in ports:
        return Parent(ref, refused=Verdict("NoMatchingParent", f"{where} has no port called {ref.section_name}"))
    if ref.port and ref.port not in ports.values():
        return Parent(ref, refused=Verdict("NoMatchingParent", f"{where} has no port {ref.port}"))
    if route.origin.kind == "TLSRoute" and not called.server_names(hostnames):
        text = f"no host of this route is one of {where}"
        return Parent(ref, refused=Verdict("NoMatchingListenerHostname", text))
    return Parent(ref, called=called, port=ref.port or (ports[ref.section_name] if ref.section_name else 0))


def _service(key: ObjectKey, sources: Sources) -> tuple[Called, dict[str, int]] | None:
    """A Service as it is called, and its ports by name."""
    service = sources.services.get(key)
    if service is None:
        return None
    host = f"{key[1]}.{key[0]}.svc.{sources.domain}"
    return Called("Service", *key, (host,)), {port.name: port.port for port in service.ports}


def _entry(key: ObjectKey, sources: Sources) -> tuple[Called, dict[str, int]] | None:
    """A ServiceEntry, and its ports by name."""
    entry = sources.entries.get(key)
    if entry is None:
        return None
    ports = {port.name: port.number for port in entry.spec.ports}
    return Called("ServiceEntry", *key, tuple(entry.spec.hosts)), ports


def _at_listeners(
    ref: ParentReference,
    route: Resource[RouteSpec],
    hostnames: list[str],
    listeners: tuple[ListenerState, ...],
    sources: Sources,
) -> Parent:
    """The listeners that are left of those that are named: by kind and namespace of the route, then by its hosts."""
    kind, where = route.origin.kind, f"{ref.kind} {ref.namespace or route.namespace}/{ref.name}"
    named = [
        each
        for each in listeners
        if (not ref.section_name or each.listener.name == ref.section_name)
        and (not ref.port or each.listener.port == ref.port)
    ]
    if not named:
        wanted = f" {ref.section_name}" * bool(ref.section_name) + f" on port {ref.port}" * bool(ref.port)
        return Parent(ref, refused=Verdict("NoMatchingParent", f"{where} has no listener{wanted}"))
    permitted = [each for each in named if allows(each, kind, route.namespace, sources)]
    if not permitted:
        text = f"no listener of {where} takes a {kind} of namespace {route.namespace}"
        return Parent(ref, refused=Verdict("NotAllowedByListeners", text))
    found = [Attached(each, common) for each in permitted if (common := tuple(in_common(each, hostnames)))]
    if not found:
        text = f"no listener of {where} is for a host of this route"
        return Parent(ref, refused=Verdict("NoMatchingListenerHostname", text))
    return Parent(ref, tuple(found))


def in_common(state: ListenerState, hostnames: list[str]) -> Iterator[str]:
    """The hosts that a listener and a route have in common; a route without any has those of the listener."""
    if not hostnames:
        yield state.hostname
    for host in dict.fromkeys(each.lower() for each in hostnames):
        common = hosts.intersection(state.hostname, host)
        if common is not None:
            yield common


def isolated(attached: Attached, beside: tuple[ListenerState, ...]) -> Iterator[str]:
    """Of the hosts in common those that no listener of the same port is nearer to.

    A request is for one listener only, the one with the most specific host.
    """
    own = attached.listener
    nearer = [
        each.hostname
        for each in beside
        if each is not own
        and each.served
        and (each.listener.port, each.family) == (own.listener.port, own.family)
        and each.hostname != own.hostname
        and hosts.covers(own.hostname, each.hostname)
    ]
    yield from (host for host in attached.hosts if not any(hosts.covers(other, host) for other in nearer))
