"""A proxy's resources, with its patches applied to each of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.model.envoyfilter import PatchContext
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.world.proxy import ProxyKind
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import Built, build, wire
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.patches import clusters, discovery, listeners, routes
from mesh_lab.controlplane.xds.patches.patch import Patch, Patches, Record
from mesh_lab.controlplane.xds.patches.selection import Selection
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS

Resources = Mapping[str, Mapping[str, Built]]
Failures = tuple[tuple[Patch, str], ...]
PortMap = tuple[tuple[int, tuple[int, ...]], ...]
"""A gateway's ports: each with the numbers by which its Services call it."""

_SIDES: Mapping[ProxyKind, tuple[PatchContext, ...]] = {
    "sidecar": ("SIDECAR_OUTBOUND", "SIDECAR_INBOUND"),
    "router": ("GATEWAY",),
}


class Done(NamedTuple):
    """A resource after its patches; None when one of them removed it."""

    built: Built | None
    applied: Patches = ()
    failed: Failures = ()
    has_endpoints: bool = True


class Patched(NamedTuple):
    """A proxy's resources after its patches, and what became of these."""

    resources: Resources
    applied: frozenset[Patch] = frozenset()
    failed: Failures = ()


class Place(NamedTuple):
    """The proxy whose resources are patched: its kind, its domain, and a gateway's ports."""

    kind: ProxyKind
    cluster_domain: str
    ports: PortMap = ()


def apply(resources: Resources, selection: Selection, place: Place) -> Patched:
    """Apply a proxy's patches. What no patch matches stays the same object."""
    work = _Work()
    found = dict(resources)
    if selection.clusters:
        found[CDS], found[EDS] = _clusters(resources, selection.clusters, place, work)
    if selection.listeners:
        each = (_listener(built, place.kind, selection.listeners) for built in resources[LDS].values())
        found[LDS] = {**work.take(each), **_added_listeners(resources[LDS], selection.listeners, place.kind, work)}
    if selection.routes:
        each = (_routes(built, place, selection.routes) for built in resources[RDS].values())
        found[RDS] = work.take(each)
    if selection.extensions or selection.listeners:
        wanted = {name for built in found[LDS].values() for name in discovery.discovered(built)}
        kept = {name: built for name, built in resources[ECDS].items() if name in wanted}
        found[ECDS] = {**kept, **work.take(_extensions(wanted, selection.extensions))}
    return Patched(found, frozenset(work.applied), tuple(work.failed.items()))


class _Work:
    """What is gathered over all resources."""

    def __init__(self) -> None:
        self.applied: set[Patch] = set()
        self.failed: dict[Patch, str] = {}

    def take(self, done: Iterable[Done]) -> dict[str, Built]:
        found: dict[str, Built] = {}
        for each in done:
            self.applied.update(each.applied)
            self.failed.update(each.failed)
            if each.built is None:
                continue
            if each.built.name in found:
                reason = f"it makes a second resource of the name {each.built.name}, which is left out"
                self.failed.update(dict.fromkeys(each.applied, reason))
            else:
                found[each.built.name] = each.built
        return found


def _done(built: Built, message: Any, record: Record, *, kept: bool, has_endpoints: bool = True) -> Done:
    applied, failed = tuple(record.applied), tuple(record.failed.items())
    if not kept:
        return Done(None, applied, failed)
    if not applied:
        return Done(built, applied, failed)
    origins = [*built.origins, *(patch.origin for patch in applied)]
    # Routes keep the name that a listener asks for. By the others' names, which a patch may change, Envoy removes them.
    name = built.name if built.type_url == RDS else message.name
    made = build(built.type_url, name, wire(message), origins, built.secrets)
    return Done(made, applied, failed, has_endpoints)


def _content(built: Built) -> bytes:
    return AnyMessage.FromString(built.body).value


def _clusters(
    resources: Resources, patches: Patches, place: Place, work: _Work
) -> tuple[dict[str, Built], dict[str, Built]]:
    """The clusters, and the endpoints of those that still ask for them."""
    changed: list[Done] = []
    endpoints = dict(resources[EDS])
    for built in resources[CDS].values():
        done = _cluster(built, place.kind, place.cluster_domain, patches)
        changed.append(done)
        if done.built is None or not done.has_endpoints:
            endpoints.pop(built.name, None)
    found = work.take(changed)
    for patch in patches:
        if clusters.added(patch, _SIDES[place.kind]):
            made = _addition(patch, CDS)
            if made.name in resources[CDS] or made.name in found:
                work.failed[patch] = f"there is a cluster {made.name} already: it is not added"
            else:
                found[made.name] = made
                work.applied.add(patch)
    return found, endpoints


@memoised
def _cluster(built: Built, kind: ProxyKind, domain: str, patches: Patches) -> Done:
    context = _context_of_cluster(built.name, kind)
    message, record = Cluster.FromString(_content(built)), Record()
    kept = clusters.change(message, context, _hosts(built.origins, domain), patches, record)
    is_eds = not message.HasField("cluster_type") and message.type == Cluster.EDS
    return _done(built, message, record, kept=kept, has_endpoints=is_eds)


def _context_of_cluster(name: str, kind: ProxyKind) -> PatchContext:
    if kind == "router":
        return "GATEWAY"
    inbound = name.startswith("inbound|") or name == names.INBOUND_PASSTHROUGH_CLUSTER
    return "SIDECAR_INBOUND" if inbound else "SIDECAR_OUTBOUND"


def _hosts(origins: Iterable[Origin], domain: str) -> tuple[str, ...]:
    """The hosts of the Services that a cluster was made for."""
    return tuple(f"{each.name}.{each.namespace}.svc.{domain}" for each in origins if each.kind == "Service")


@memoised
def _addition(patch: Patch, type_url: str) -> Built:
    return build(type_url, patch.value.name, wire(patch.value), [patch.origin])


@memoised
def _listener(built: Built, kind: ProxyKind, patches: Patches) -> Done:
    message, record = Listener.FromString(_content(built)), Record()
    context: PatchContext = "GATEWAY"
    if kind == "sidecar":
        # As Istio sets it: 1 is what a pod receives.
        context = "SIDECAR_INBOUND" if message.traffic_direction == 1 else "SIDECAR_OUTBOUND"
    suited = tuple(patch for patch in patches if patch.suits(context))
    kept = listeners.change(message, suited, record)
    return _done(built, message, record, kept=kept)


def _added_listeners(present: Mapping[str, Built], patches: Patches, kind: ProxyKind, work: _Work) -> dict[str, Built]:
    found: dict[str, Built] = {}
    for patch in patches:
        if patch.apply_to == "LISTENER" and clusters.added(patch, _SIDES[kind]):
            made = _addition(patch, LDS)
            if made.name in present or made.name in found:
                work.failed[patch] = f"there is a listener {made.name} already: it is not added"
            else:
                found[made.name] = made
                work.applied.add(patch)
    return found


@memoised
def _routes(built: Built, place: Place, patches: Patches) -> Done:
    message, record = RouteConfiguration.FromString(_content(built)), Record()
    context: PatchContext = "GATEWAY"
    if place.kind == "sidecar":
        context = "SIDECAR_INBOUND" if built.name.startswith("inbound|") else "SIDECAR_OUTBOUND"
    routes.change(message, context, dict(place.ports), patches, record)
    return _done(built, message, record, kept=True)


def _extensions(wanted: Collection[str], patches: Patches) -> Iterator[Done]:
    """The configurations of extensions that listeners ask for by name (ECDS)."""
    for patch in patches:
        if patch.operation == "ADD" and patch.value.name in wanted:
            yield Done(_addition(patch, ECDS), (patch,))
