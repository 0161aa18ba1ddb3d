"""HTTPRoute: which requests go where.

https://gateway-api.sigs.k8s.io/reference/spec/#httproute
"""

from __future__ import annotations

from msgspec import field

from mesh_lab.controlplane.model.base import JsonObject, Spec
from mesh_lab.controlplane.model.gatewayapi.common import (
    BackendRef,
    HeaderModifier,
    ObjectReference,
    RequestMirror,
    RouteSpec,
    SessionPersistence,
    ValueMatch,
)


class PathMatch(Spec, frozen=True):
    """A path: whole, by its first segments, or by an expression."""

    type: str = "PathPrefix"
    value: str = "/"


class HTTPRouteMatch(Spec, frozen=True):
    """Conditions that must all hold."""

    path: PathMatch = PathMatch()
    headers: list[ValueMatch] = []
    query_params: list[ValueMatch] = []
    method: str = ""


class PathModifier(Spec, frozen=True):
    """A new path, or what takes the place of the matched prefix."""

    type: str
    replace_full_path: str | None = None
    replace_prefix_match: str | None = None


class RequestRedirect(Spec, frozen=True):
    """An answer that sends the client elsewhere."""

    scheme: str = ""
    hostname: str = ""
    path: PathModifier | None = None
    port: int = 0
    status_code: int = 302


class URLRewrite(Spec, frozen=True):
    """Another host and path for the request to the backend."""

    hostname: str = ""
    path: PathModifier | None = None


class CORS(Spec, frozen=True):
    """Cross-origin resource sharing, answered by the gateway."""

    allow_origins: list[str] = []
    allow_credentials: bool = False
    allow_methods: list[str] = []
    allow_headers: list[str] = []
    expose_headers: list[str] = []
    max_age: int = 5


class HTTPRouteFilter(Spec, frozen=True):
    """What is done to requests or answers; `type` says which of the others is meant."""

    type: str
    request_header_modifier: HeaderModifier | None = None
    response_header_modifier: HeaderModifier | None = None
    request_mirror: RequestMirror | None = None
    request_redirect: RequestRedirect | None = None
    url_rewrite: URLRewrite | None = None
    cors: CORS | None = None
    external_auth: JsonObject | None = None
    extension_ref: ObjectReference | None = None


class HTTPBackendRef(BackendRef, frozen=True):
    """A backend, and what is done to the requests that go there."""

    filters: list[HTTPRouteFilter] = []


class Timeouts(Spec, frozen=True):
    """Limits for the whole request, and for each attempt at a backend. Zero is no limit."""

    request: str = ""
    backend_request: str = ""


class Retry(Spec, frozen=True):
    """After which answers a request is tried again, how often, and after which pause."""

    codes: list[int] = []
    attempts: int | None = None
    backoff: str = ""


class HTTPRouteRule(Spec, frozen=True):
    """Requests that match one of `matches`, and where they go."""

    name: str = ""
    matches: list[HTTPRouteMatch] = field(default_factory=lambda: [HTTPRouteMatch()])
    filters: list[HTTPRouteFilter] = []
    backend_refs: list[HTTPBackendRef] = []
    timeouts: Timeouts | None = None
    retry: Retry | None = None
    session_persistence: SessionPersistence | None = None


class HTTPRoute(RouteSpec, frozen=True):
    """Rules for requests to some hosts; without `hostnames`, to all that the parent serves."""

    hostnames: list[str] = []
    rules: list[HTTPRouteRule] = field(default_factory=lambda: [HTTPRouteRule()])
