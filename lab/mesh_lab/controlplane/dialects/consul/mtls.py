"""Mutual TLS as Consul has it: a service that ServiceDefaults are for takes nothing else, unless they say so."""

from __future__ import annotations

from collections.abc import Iterator

from mesh_lab.controlplane.dialects.consul.kinds import ServiceDefaults
from mesh_lab.controlplane.dialects.consul.objects import Sources, is_permissive, proxy_defaults
from mesh_lab.controlplane.model import PeerAuthentication
from mesh_lab.controlplane.model.base import WorkloadSelector
from mesh_lab.controlplane.model.security import MutualTLS
from mesh_lab.controlplane.world.kubernetes import ObjectKey, Origin
from mesh_lab.controlplane.world.snapshot import Config


def peers(sources: Sources) -> Iterator[Config[PeerAuthentication]]:
    """One policy for each Service with pods that ServiceDefaults are for; for all, where ProxyDefaults set a mode."""
    for key, service in sources.services.items():
        if not service.selector or key[0] == sources.root_namespace:
            continue
        stated = _stated(sources, key)
        if stated is None:
            continue
        origin, created = stated
        spec = PeerAuthentication(
            selector=WorkloadSelector(match_labels=dict(service.selector)),
            mtls=MutualTLS(mode="PERMISSIVE" if is_permissive(sources, key) else "STRICT"),
        )
        yield Config(origin, key[0], f"{key[1]}-consul", {}, created, spec)


def _stated(sources: Sources, key: ObjectKey) -> tuple[Origin, str] | None:
    """The object that decides."""
    own = sources.one(ServiceDefaults, key)
    shared = proxy_defaults(sources, key[0])
    if own is not None and (own.spec.mutual_tls_mode or shared is None or not shared.spec.mutual_tls_mode):
        return own.origin, own.created
    if shared is not None and shared.spec.mutual_tls_mode:
        return shared.origin, shared.created
    return None
