"""How far each proxy is, by type of resource: what `istioctl proxy-status` shows, from all istiods' `/debug/syncz`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from mesh_lab.client.api import Api
from mesh_lab.client.connection import ClusterUnreachable
from mesh_lab.client.controlplane import find
from mesh_lab.client.istio import IstioStatus
from mesh_lab.client.istiostatus import SYNCZ
from mesh_lab.errors import LabError

_SHORT = {
    "envoy.config.cluster.v3.Cluster": "CDS",
    "envoy.config.listener.v3.Listener": "LDS",
    "envoy.config.endpoint.v3.ClusterLoadAssignment": "EDS",
    "envoy.config.route.v3.RouteConfiguration": "RDS",
    "envoy.extensions.transport_sockets.tls.v3.Secret": "SDS",
    "envoy.config.core.v3.TypedExtensionConfig": "ECDS",
}
"""Istio's short names of the types, in its order."""
SYNCED = "SYNCED"


class TypeStatus(msgspec.Struct, frozen=True):
    """How far a proxy is with one type: SYNCED, STALE, NOT SENT or ERROR, and what it answered to what it rejected."""

    type: str
    status: str
    error: str = ""


class ProxyStatus(msgspec.Struct, frozen=True):
    """One proxy: its name (`POD.NAMESPACE`), its cluster, which istiod it is connected to, and its types."""

    name: str
    cluster: str
    istiod: str
    version: str
    types: tuple[TypeStatus, ...] = ()

    @property
    def synced(self) -> bool:
        """Whether it has acknowledged all that it was sent."""
        return all(each.status == SYNCED for each in self.types)


class _Resource(msgspec.Struct, frozen=True, rename="camel"):
    sent: str = ""
    acked: str = ""
    last_error: str = ""


class _Entry(msgspec.Struct, frozen=True):
    proxy: str
    cluster_id: str = ""
    istio_version: str = ""
    resources: Mapping[str, _Resource] = {}


def proxies(api: Api) -> list[ProxyStatus]:
    """All proxies that are connected to an istiod, sorted by name.

    Raises:
        ApiError: the API refuses the request, or an istiod does not answer.
        LabError: there is no istiod.
    """
    planes = find(api)
    if not planes:
        raise LabError("there is no istiod in this cluster")
    status = IstioStatus(api, sorted({plane.namespace for plane in planes}), 0.0, findings=False)
    return sorted(_read(status.syncz()), key=lambda each: each.name)


def _read(documents: Mapping[str, object]) -> list[ProxyStatus]:
    found = []
    for istiod, document in documents.items():
        try:
            entries = msgspec.convert(document, list[_Entry])
        except msgspec.ValidationError as error:
            raise ClusterUnreachable(f"{SYNCZ} of {istiod} answers something else than expected: {error}") from error
        found += [_status(istiod, entry) for entry in entries]
    return found


def _status(istiod: str, entry: _Entry) -> ProxyStatus:
    types = {_short(url): resource for url, resource in entry.resources.items()}
    order = [*_SHORT.values(), *sorted(types.keys() - _SHORT.values())]
    return ProxyStatus(
        entry.proxy,
        entry.cluster_id,
        istiod,
        entry.istio_version,
        tuple(TypeStatus(name, _state(types[name]), types[name].last_error) for name in order if name in types),
    )


def _short(url: str) -> str:
    name = url.rpartition("/")[2]
    return _SHORT.get(name, name)


def _state(resource: _Resource) -> str:
    if resource.last_error:
        return "ERROR"
    if not resource.sent:
        return "NOT SENT"
    return SYNCED if resource.sent == resource.acked else "STALE"


def as_builtins(found: list[ProxyStatus]) -> list[dict[str, Any]]:
    """The same as JSON."""
    built: list[dict[str, Any]] = msgspec.to_builtins(found)
    return built
