"""The kinds of Istio resource that the control plane reads, as a table, and their decoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.destinationrule import DestinationRule
from mesh_lab.controlplane.model.gateway import Gateway
from mesh_lab.controlplane.model.security import AuthorizationPolicy, PeerAuthentication
from mesh_lab.controlplane.model.sidecar import Sidecar
from mesh_lab.controlplane.model.virtualservice import VirtualService

NETWORKING = "networking.istio.io"
SECURITY = "security.istio.io"


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`."""

    name: str
    json_path: str
    type: str = "string"
    description: str = ""
    format: str = ""


AGE = Column("Age", ".metadata.creationTimestamp", "date", "Time since the object was created.")


@dataclass(frozen=True)
class Kind:
    """One kind: its type, its names, and its columns, which are those of Istio's own definitions."""

    spec: type[Spec]
    group: str
    plural: str
    short: tuple[str, ...]
    columns: tuple[Column, ...]
    versions: tuple[str, ...] = ("v1", "v1beta1")

    @property
    def name(self) -> str:
        """As in `kind: VirtualService`."""
        return self.spec.__name__


_NETWORKING_VERSIONS = ("v1", "v1beta1", "v1alpha3")

KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            VirtualService,
            NETWORKING,
            "virtualservices",
            ("vs",),
            (
                Column("Gateways", ".spec.gateways", description="The gateways and sidecars that apply these routes."),
                Column("Hosts", ".spec.hosts", description="The hosts whose requests are routed."),
                AGE,
            ),
            _NETWORKING_VERSIONS,
        ),
        Kind(
            DestinationRule,
            NETWORKING,
            "destinationrules",
            ("dr",),
            (Column("Host", ".spec.host", description="The service that the rule is about."), AGE),
            _NETWORKING_VERSIONS,
        ),
        Kind(Gateway, NETWORKING, "gateways", ("gw",), (AGE,), _NETWORKING_VERSIONS),
        Kind(Sidecar, NETWORKING, "sidecars", (), (AGE,), _NETWORKING_VERSIONS),
        Kind(
            PeerAuthentication,
            SECURITY,
            "peerauthentications",
            ("pa",),
            (Column("Mode", ".spec.mtls.mode", description="Whether mutual TLS is demanded."), AGE),
        ),
        Kind(
            AuthorizationPolicy,
            SECURITY,
            "authorizationpolicies",
            ("ap",),
            (Column("Action", ".spec.action", description="What happens to what matches."), AGE),
        ),
    )
}


class DecodeError(ValueError):
    """A resource that does not fit its type. `path` names the field (`spec.http[0].timeout`)."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


def decode(kind: str, spec: Mapping[str, Any] | None) -> Spec:
    """The typed spec. Unknown fields, wrong types and values out of range raise DecodeError with the field's path."""
    try:
        return msgspec.convert({} if spec is None else spec, KINDS[kind].spec)
    except msgspec.ValidationError as error:
        message, _, path = str(error).replace(" - at `key` in `$", " (in a name) - at `$").partition(" - at `$")
        raise DecodeError("spec" + path.removesuffix("`"), message) from None
