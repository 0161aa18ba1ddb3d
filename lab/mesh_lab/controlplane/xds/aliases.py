"""ExternalName Services: aliases of a service, whose rules and mutual TLS hold for requests to them.

As in Istio since 1.21: the service that such a name stands for, in the end, answers to it, and the name itself has no
cluster and no listener. A name for a host that is no service of the mesh, or that leads back to itself, is ignored.
https://istio.io/latest/news/releases/1.21.x/announcing-1.21/change-notes/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mesh_lab.controlplane.xds.memo import memoised
from mesh_lab.controlplane.xds.services import Alias, MeshService, Resolution


def ends(external: Mapping[str, str]) -> dict[str, str]:
    """The host that each name stands for in the end, by what it stands for at once. A name in a circle has none."""
    found: dict[str, str] = {}
    for name, target in external.items():
        seen = {name}
        end = target
        while end in external and end not in seen:
            seen.add(end)
            end = external[end]
        if end not in external:
            found[name] = end
    return found


def linked(services: Iterable[MeshService]) -> list[MeshService]:
    """The services, each with its aliases, and each alias with the host that it stands for in the end."""
    known = list(services)
    named = {service.hostname: service for service in known if service.resolution is Resolution.ALIAS}
    if not named:
        return known
    stands_for = ends({hostname: service.external for hostname, service in named.items()})
    aliases: dict[str, list[Alias]] = {}
    for hostname, end in stands_for.items():
        aliases.setdefault(end, []).append(Alias(hostname, named[hostname].namespace, named[hostname].origin))
    return [
        _standing_for(service, stands_for.get(service.hostname, service.external))
        if service.hostname in named
        else known_as(service, tuple(sorted(aliases[service.hostname])))
        if service.hostname in aliases
        else service
        for service in known
    ]


@memoised
def _standing_for(alias: MeshService, end: str) -> MeshService:
    return replace(alias, external=end)


@memoised
def known_as(service: MeshService, aliases: tuple[Alias, ...]) -> MeshService:
    """The service with these aliases."""
    return replace(service, aliases=aliases)
