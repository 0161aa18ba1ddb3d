"""What the control plane reads of the Gateway API's objects.

`KubernetesGateway` is what its Gateway is called here, as in Istio's own sources: `Gateway` is Istio's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.decoding import DecodeError, decode_as
from mesh_lab.controlplane.model.gatewayapi import (
    BackendTLSPolicy,
    Gateway,
    GatewayClass,
    GRPCRoute,
    HTTPRoute,
    ListenerSet,
    ReferenceGrant,
    TCPRoute,
    TLSRoute,
    UDPRoute,
    XBackendTrafficPolicy,
)
from mesh_lab.controlplane.world.kubernetes import Object, ObjectKey, Origin, istios, origin_of

S_co = TypeVar("S_co", bound=Spec, covariant=True)

GATEWAY = "KubernetesGateway"


class Facts(NamedTuple):
    """A kind's type, and whether its objects are in namespaces."""

    spec: type[Spec]
    namespaced: bool = True


KINDS: Mapping[str, Facts] = {
    "GatewayClass": Facts(GatewayClass, namespaced=False),
    GATEWAY: Facts(Gateway),
    "ListenerSet": Facts(ListenerSet),
    "HTTPRoute": Facts(HTTPRoute),
    "GRPCRoute": Facts(GRPCRoute),
    "TLSRoute": Facts(TLSRoute),
    "TCPRoute": Facts(TCPRoute),
    "UDPRoute": Facts(UDPRoute),
    "ReferenceGrant": Facts(ReferenceGrant),
    "BackendTLSPolicy": Facts(BackendTLSPolicy),
    "XBackendTrafficPolicy": Facts(XBackendTrafficPolicy),
}
"""The kinds that are read, by the names by which the control plane knows them."""


class Decoded(NamedTuple):
    """A spec, or why it cannot be read."""

    spec: Spec | None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Resource(Generic[S_co]):
    """One object. `raw` is its spec as JSON, by which two versions are compared; `annotations` are Istio's."""

    origin: Origin
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    created: str
    uid: str
    raw: Mapping[str, Any]
    type: type[Spec]

    @cached_property
    def decoded(self) -> Decoded:
        """The spec by its type, or why it cannot be read."""
        try:
            return Decoded(decode_as(self.type, self.raw))
        except DecodeError as error:
            return Decoded(None, str(error))

    @property
    def key(self) -> ObjectKey:
        """Namespace and name."""
        return (self.namespace, self.name)

    @property
    def precedence(self) -> tuple[str, str, str]:
        """Sorts competing objects as the specification says: the oldest first, then by namespace and name."""
        return (self.created, self.namespace, self.name)


def view(kind: str, spec: type[Spec]) -> Callable[[Object], Resource[Spec]]:
    """Makes the view of an object of a kind."""

    def read(obj: Object) -> Resource[Spec]:
        meta = obj["metadata"]
        return Resource(
            origin_of(kind, obj),
            meta.get("namespace", ""),
            meta["name"],
            meta.get("labels") or {},
            istios(meta.get("annotations") or {}),
            meta.get("creationTimestamp") or "",
            meta.get("uid", ""),
            obj.get("spec") or {},
            spec,
        )

    return read


VIEWS: Mapping[str, Callable[[Object], Resource[Spec]]] = {
    kind: view(kind, facts.spec) for kind, facts in KINDS.items()
}
"""Makes the view of an object, by kind."""
