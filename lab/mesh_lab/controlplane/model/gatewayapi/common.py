"""References between objects of the Gateway API, and what all its routes have."""

from __future__ import annotations

from mesh_lab.controlplane.model.base import Spec

GROUP = "gateway.networking.k8s.io"


class ParentReference(Spec, frozen=True):
    """What a route attaches to, or a part of it: a Gateway, a ListenerSet or, in the mesh, a Service."""

    name: str
    group: str = GROUP
    kind: str = "Gateway"
    namespace: str = ""
    section_name: str = ""
    port: int = 0


class ObjectReference(Spec, frozen=True):
    """An object, by group, kind and name."""

    name: str
    kind: str
    group: str = ""
    namespace: str = ""


class SecretReference(Spec, frozen=True):
    """An object that holds a certificate: a Secret."""

    name: str
    kind: str = "Secret"
    group: str = ""
    namespace: str = ""


class BackendObjectReference(Spec, frozen=True):
    """Where requests or connections go: a port of a Service."""

    name: str
    kind: str = "Service"
    group: str = ""
    namespace: str = ""
    port: int = 0


class BackendRef(BackendObjectReference, frozen=True):
    """A backend with its share; weights are relative to their sum."""

    weight: int = 1


class HTTPHeader(Spec, frozen=True):
    """A header and its value."""

    name: str
    value: str


class HeaderModifier(Spec, frozen=True):
    """What is done to the headers of a request or an answer: `set` overwrites, `add` appends."""

    set: list[HTTPHeader] = []
    add: list[HTTPHeader] = []
    remove: list[str] = []


class ValueMatch(Spec, frozen=True):
    """A header or query parameter, and its value or an expression for it."""

    name: str
    value: str
    type: str = "Exact"


class Fraction(Spec, frozen=True):
    """A share."""

    numerator: int
    denominator: int = 100


class RequestMirror(Spec, frozen=True):
    """A backend that is sent copies of requests: of all, of so many of a hundred, or of a fraction."""

    backend_ref: BackendObjectReference
    percent: int | None = None
    fraction: Fraction | None = None


class CookieConfig(Spec, frozen=True):
    """How long the client keeps a session's cookie."""

    lifetime_type: str = "Session"


class SessionPersistence(Spec, frozen=True):
    """That a client's requests stay with one endpoint, and by what: a cookie or a header."""

    session_name: str = ""
    absolute_timeout: str = ""
    type: str = "Cookie"
    cookie_config: CookieConfig | None = None


class RouteSpec(Spec, frozen=True):
    """What all routes have."""

    parent_refs: list[ParentReference] = []
    use_default_gateways: str = ""
