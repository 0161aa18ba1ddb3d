"""Where routes lead: backends, as destinations of the mesh's registry; or why one is none."""

from __future__ import annotations

from typing import NamedTuple

from mesh_lab.controlplane.model.base import PortSelector
from mesh_lab.controlplane.model.gatewayapi import BackendObjectReference
from mesh_lab.controlplane.model.virtualservice import Destination
from mesh_lab.controlplane.xds.gatewayapi import grants
from mesh_lab.controlplane.xds.gatewayapi.sources import Sources, Verdict

_ISTIO = "networking.istio.io"
NOWHERE = Destination(host="invalid.backend.not.found", port=PortSelector(number=1))
"""What no cluster is made for: requests that a rule sends there are answered with an error."""


class Backend(NamedTuple):
    """A destination; or why the reference leads nowhere."""

    destination: Destination | None
    problem: Verdict | None = None


class Backends(NamedTuple):
    """Finds the backends of one route. `free`: it may refer to any namespace. `transport`: TCP or UDP."""

    sources: Sources
    grants: grants.Index
    by: grants.Referrer
    free: bool = False
    transport: str = "TCP"

    def find(self, ref: BackendObjectReference) -> Backend:
        """The destination that a reference means. Whether one that may not be named is there is not told."""
        namespace = ref.namespace or self.by.namespace
        where = f"{ref.kind} {namespace}/{ref.name}"
        if (ref.group, ref.kind) == (_ISTIO, "Hostname") and self.transport == "TCP":
            return Backend(Destination(host=ref.name, port=PortSelector(number=ref.port) if ref.port else None))
        if (ref.group, ref.kind) != ("", "Service"):
            return _none("InvalidKind", f"backendRefs: {where}: routes of the lab lead to Services")
        referent = grants.Referent("", "Service", namespace, ref.name)
        if not self.free and not grants.allowed(self.grants, self.by, referent):
            return _none("RefNotPermitted", f"{where}: no ReferenceGrant in namespace {namespace} allows it")
        if not ref.port:
            return _none("UnsupportedValue", f"backendRefs: {where}: a Service needs a port")
        service = self.sources.services.get((namespace, ref.name))
        if service is None:
            return _none("BackendNotFound", f"backendRefs: {where}: there is none")
        if all((port.port, port.transport) != (ref.port, self.transport) for port in service.ports):
            return _none("BackendNotFound", f"backendRefs: {where} has no port {ref.port} for {self.transport}")
        host = f"{ref.name}.{namespace}.svc.{self.sources.domain}"
        return Backend(Destination(host=host, port=PortSelector(number=ref.port)))


def _none(reason: str, message: str) -> Backend:
    return Backend(None, Verdict(reason, message))
