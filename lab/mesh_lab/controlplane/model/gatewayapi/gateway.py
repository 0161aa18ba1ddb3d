"""GatewayClass, Gateway and ListenerSet: what listens at the edge of the mesh, and who may attach to it.

https://gateway-api.sigs.k8s.io/reference/spec/#gateway
"""

from __future__ import annotations

from msgspec import field

from mesh_lab.controlplane.model.base import Spec
from mesh_lab.controlplane.model.gatewayapi.common import (
    GROUP,
    ObjectReference,
    ParentReference,
    SecretReference,
)
from mesh_lab.controlplane.model.mesh import LabelSelector


class GatewayClass(Spec, frozen=True):
    """A class of Gateways, and the controller that is in charge of them."""

    controller_name: str
    parameters_ref: ObjectReference | None = None
    description: str = ""


class RouteNamespaces(Spec, frozen=True):
    """The namespaces whose routes (or ListenerSets) may attach: Same, All, None, or those that a selector names."""

    from_: str = field(default="Same", name="from")
    selector: LabelSelector | None = None


class RouteGroupKind(Spec, frozen=True):
    """A kind of route."""

    kind: str
    group: str = GROUP


class AllowedRoutes(Spec, frozen=True):
    """The routes that may attach; without `kinds`, those that suit the listener's protocol."""

    namespaces: RouteNamespaces | None = None
    kinds: list[RouteGroupKind] = []


class ListenerTLS(Spec, frozen=True):
    """Whether TLS ends here or is passed through; with which certificates."""

    mode: str = "Terminate"
    certificate_refs: list[SecretReference] = []
    options: dict[str, str] = {}


class Listener(Spec, frozen=True):
    """A port, its protocol, and the hosts that are served on it. An empty hostname is every host."""

    name: str
    port: int
    protocol: str
    hostname: str = ""
    tls: ListenerTLS | None = None
    allowed_routes: AllowedRoutes | None = None


class FrontendValidation(Spec, frozen=True):
    """The authorities of clients' certificates, and whether a client without a good one is let in all the same."""

    ca_certificate_refs: list[ObjectReference] = []
    mode: str = "AllowValidOnly"


class FrontendTLS(Spec, frozen=True):
    """What is required of clients."""

    validation: FrontendValidation | None = None


class PortTLS(Spec, frozen=True):
    """What is required of the clients of one port."""

    port: int
    tls: FrontendTLS


class Frontend(Spec, frozen=True):
    """What is required of clients, of all ports and of single ones."""

    default: FrontendTLS
    per_port: list[PortTLS] = []


class BackendClient(Spec, frozen=True):
    """The certificate that a Gateway shows to its backends."""

    client_certificate_ref: SecretReference | None = None


class GatewayTLS(Spec, frozen=True):
    """TLS of the whole Gateway: towards clients, and towards backends."""

    frontend: Frontend | None = None
    backend: BackendClient | None = None


class GatewayAddress(Spec, frozen=True):
    """An address that is asked for."""

    value: str = ""
    type: str = "IPAddress"


class LocalParameters(Spec, frozen=True):
    """An object with parameters of the implementation's own."""

    group: str
    kind: str
    name: str


class Infrastructure(Spec, frozen=True):
    """What is put on the objects that are made for a Gateway."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    parameters_ref: LocalParameters | None = None


class AllowedListeners(Spec, frozen=True):
    """The namespaces whose ListenerSets may attach: none, unless it says so."""

    namespaces: RouteNamespaces | None = None


class Gateway(Spec, frozen=True):
    """A gateway of a class."""

    gateway_class_name: str
    listeners: list[Listener] = []
    addresses: list[GatewayAddress] = []
    infrastructure: Infrastructure | None = None
    allowed_listeners: AllowedListeners | None = None
    tls: GatewayTLS | None = None
    default_scope: str = ""


class ListenerSet(Spec, frozen=True):
    """Further listeners of a Gateway, which others than its owner may write."""

    parent_ref: ParentReference
    listeners: list[Listener] = []
