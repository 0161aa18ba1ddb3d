"""The certificate that a Gateway shows to backends (`spec.tls.backend`): where it is, or why it cannot be shown.

https://gateway-api.sigs.k8s.io/reference/spec/#gatewaybackendtls
"""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.model.gatewayapi import Gateway
from mesh_lab.controlplane.world.gatewayapi import Resource
from mesh_lab.controlplane.xds.gatewayapi import grants, listenertls
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict


class ClientCertificate(NamedTuple):
    """The Secret (`namespace/name`) that a Gateway shows, or why it cannot be shown."""

    name: str = ""
    unresolved: Verdict | None = None


def of(resource: Resource[Gateway], spec: Gateway, sources: Sources, known: grants.Index) -> ClientCertificate | None:
    """What a Gateway is to show; None where it says nothing."""
    backend = spec.tls.backend if spec.tls is not None else None
    ref = backend.client_certificate_ref if backend is not None else None
    if ref is None:
        return None
    problem = listenertls.certificate_problem(ref, resource, sources, known, "InvalidClientCertificateRef")
    if problem is not None:
        return ClientCertificate(unresolved=problem)
    return ClientCertificate(f"{ref.namespace or resource.namespace}/{ref.name}")
