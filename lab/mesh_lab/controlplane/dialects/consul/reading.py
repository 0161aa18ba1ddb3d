"""Consul's objects, read into the internal model: what translation gets of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from mesh_lab.controlplane.dialects.consul import access, mtls, rules, upstreams
from mesh_lab.controlplane.dialects.consul.chain import Chain, Compiled, Misfit, compiled
from mesh_lab.controlplane.dialects.consul.kinds import ServiceResolver, ServiceRouter, ServiceSplitter
from mesh_lab.controlplane.dialects.consul.objects import Sources, stated_protocol
from mesh_lab.controlplane.dialects.consul.routes import virtual_service
from mesh_lab.controlplane.model import DestinationRule, VirtualService
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Service
from mesh_lab.controlplane.world.snapshot import Config, Reading, Snapshot, Table
from mesh_lab.controlplane.xds import keeping
from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.services import declared

_IN_CHAINS = (ServiceRouter, ServiceSplitter, ServiceResolver)


def read(snapshot: Snapshot) -> Reading:
    """What the objects of a snapshot stand for."""
    if not any(snapshot.dialects.values()):
        return Reading()
    return _read(Sources.of(snapshot))


@memoised
def _read(sources: Sources) -> Reading:
    return Reading(
        routes=keeping.table(_routes(sources)),
        rules=keeping.table((*_rules(sources), *upstreams.destination_rules(sources))),
        peers=keeping.table(mtls.peers(sources)),
        policies=keeping.table(access.policies(sources)),
        services=_spoken(sources),
    )


def chains(sources: Sources) -> Iterator[Compiled]:
    """The chains of all services that have entries of their own."""
    keys: dict[ObjectKey, None] = {}
    for kind in _IN_CHAINS:
        keys.update(dict.fromkeys(sources.all(kind)))
    yield from (compiled(sources, key) for key in keys)


def _routes(sources: Sources) -> Iterator[Config[VirtualService]]:
    for chain, _ in chains(sources):
        if _has_routes(chain, sources):
            yield virtual_service(chain, sources)


def _has_routes(chain: Chain, sources: Sources) -> bool:
    """Whether calls do other than go to the service without a limit of time."""
    resolver = sources.one(ServiceResolver, chain.service)
    limited = resolver is not None and resolver.spec.request_timeout is not None
    return bool(chain.entries) and (not chain.is_plain or limited)


def _rules(sources: Sources) -> Iterator[Config[DestinationRule]]:
    for entry in sources.good(ServiceResolver):
        yield rules.destination_rule(entry, sources)


def _spoken(sources: Sources) -> Table[ObjectKey, Service]:
    """The Services whose protocol Consul's objects state: of several ports those that do not state one themselves."""
    return Table(
        {
            key: speaking(service, protocol)
            for key, service in sources.services.items()
            if (protocol := stated_protocol(sources, key))
        }
    )


@memoised
def speaking(service: Service, protocol: str) -> Service:
    """A Service whose ports have a protocol."""
    single = len(service.ports) == 1
    ports = tuple(
        port._replace(app_protocol=protocol) if single or declared(port) is None else port for port in service.ports
    )
    return replace(service, ports=ports)


def misfits(sources: Sources) -> Iterator[Misfit]:
    """The entries that have no effect, or not all of it, beside the others."""
    for _, found in chains(sources):
        yield from found
    for entry in sources.good(ServiceResolver):
        yield from rules.misfits(entry, sources)
