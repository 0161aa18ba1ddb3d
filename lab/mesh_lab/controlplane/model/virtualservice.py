"""VirtualService: which requests go where.

https://istio.io/latest/docs/reference/config/networking/virtual-service/
"""

from __future__ import annotations

from typing import Literal

from msgspec import field
from msgspec.structs import force_setattr

from mesh_lab.controlplane.model.base import (
    AnyHeaderName,
    Duration,
    FreeText,
    HeaderName,
    HeaderValue,
    HostName,
    Int32,
    Labels,
    MatchedHeaderName,
    Percent,
    PortSelector,
    QueryName,
    Spec,
    StringMatch,
    SubsetName,
    UInt32,
    Weight,
    WholePercent,
)


class Destination(Spec, frozen=True):
    """A service, a subset of it that a DestinationRule names, and a port of it where it has several."""

    host: HostName
    subset: SubsetName = ""
    port: PortSelector | None = None


class HeaderOperations(Spec, frozen=True):
    """What to do to headers: `set` overwrites, `add` appends."""

    set: dict[AnyHeaderName, HeaderValue] = {}
    add: dict[AnyHeaderName, HeaderValue] = {}
    remove: list[AnyHeaderName] = []


class Headers(Spec, frozen=True):
    """Header operations on the request and on the response."""

    request: HeaderOperations | None = None
    response: HeaderOperations | None = None


class HTTPRouteDestination(Spec, frozen=True):
    """A destination's share; weights are relative to their sum."""

    destination: Destination
    weight: Weight = 0
    headers: Headers | None = None


class HTTPMatchRequest(Spec, frozen=True):
    """Conditions that must all hold."""

    name: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[MatchedHeaderName, StringMatch] = {}
    port: UInt32 = 0
    source_labels: Labels = {}
    gateways: list[str] = []
    query_params: dict[QueryName, StringMatch] = {}
    ignore_uri_case: bool = False
    without_headers: dict[MatchedHeaderName, StringMatch] = {}
    source_namespace: str = ""
    stat_prefix: str = ""


class HTTPRedirect(Spec, frozen=True):
    """An answer that sends the client elsewhere."""

    uri: str = ""
    authority: str = ""
    port: UInt32 | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str = ""
    redirect_code: UInt32 = 0
    prefix_rewrite: str = ""


class HTTPBody(Spec, frozen=True):
    """The body of a direct response: text, or base64."""

    string: FreeText | None = None
    bytes: FreeText | None = None


class HTTPDirectResponse(Spec, frozen=True):
    """An answer that the proxy gives by itself."""

    status: UInt32
    body: HTTPBody | None = None


class RegexRewrite(Spec, frozen=True):
    r"""An RE2 expression and what to put in its place (`\1` for the first group)."""

    match: str = ""
    rewrite: str = ""


class HTTPRewrite(Spec, frozen=True):
    """`uri` replaces what a prefix matched, or the whole path otherwise."""

    uri: str = ""
    authority: str = ""
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Spec, frozen=True):
    """How often, and after what, a request is tried again. `attempts: 0` turns retries off."""

    attempts: Int32 = 0
    per_try_timeout: Duration | None = None
    retry_on: str = ""
    retry_remote_localities: bool | None = None
    retry_ignore_previous_hosts: bool | None = None
    backoff: Duration | None = None


class Delay(Spec, frozen=True):
    """Delay a share of the requests."""

    fixed_delay: Duration | None = None
    exponential_delay: Duration | None = None
    percentage: Percent | None = None
    percent: WholePercent = 0


class Abort(Spec, frozen=True):
    """Answer a share of the requests with an error."""

    http_status: Int32 | None = None
    grpc_status: str | None = None
    http2_error: str | None = None
    percentage: Percent | None = None


class HTTPFaultInjection(Spec, frozen=True):
    """Faults, made by the client's proxy."""

    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirrorPolicy(Spec, frozen=True):
    """A copy of a share of the requests; its answers are dropped. An omitted percentage is 100."""

    destination: Destination
    percentage: Percent | None = None


class CorsPolicy(Spec, frozen=True):
    """Cross-origin resource sharing, answered by the proxy."""

    allow_origin: list[str] = []
    allow_origins: list[StringMatch] = []
    allow_methods: list[str] = []
    allow_headers: list[HeaderName] = []
    expose_headers: list[HeaderName] = []
    max_age: Duration | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] | None = None


class Delegate(Spec, frozen=True):
    """Another VirtualService that holds the routes."""

    name: str = ""
    namespace: str = ""


class HTTPRoute(Spec, frozen=True):
    """One rule: the first whose match holds is taken."""

    name: str = ""
    match: list[HTTPMatchRequest] = []
    route: list[HTTPRouteDestination] = []
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    delegate: Delegate | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Duration | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFaultInjection | None = None
    mirror: Destination | None = None
    mirrors: list[HTTPMirrorPolicy] = []
    mirror_percent: WholePercent | None = None
    mirror_percentage: Percent | None = None
    mirror_percent_alias: WholePercent | None = field(default=None, name="mirror_percent")
    cors_policy: CorsPolicy | None = None
    headers: Headers | None = None

    def __post_init__(self) -> None:
        """Take `mirror_percent`, which Istio's definition has beside `mirrorPercent`, for that."""
        if self.mirror_percent is None and self.mirror_percent_alias is not None:
            force_setattr(self, "mirror_percent", self.mirror_percent_alias)


class RouteDestination(Spec, frozen=True):
    """A destination's share of connections."""

    destination: Destination
    weight: Weight = 0


class L4MatchAttributes(Spec, frozen=True):
    """Conditions on a TCP connection that must all hold."""

    destination_subnets: list[str] = []
    port: UInt32 = 0
    source_subnet: str = ""
    source_labels: Labels = {}
    gateways: list[str] = []
    source_namespace: str = ""


class TCPRoute(Spec, frozen=True):
    """One rule for TCP connections."""

    match: list[L4MatchAttributes] = []
    route: list[RouteDestination] = []


class TLSMatchAttributes(Spec, frozen=True):
    """Conditions on a TLS connection that is passed through."""

    sni_hosts: list[HostName]
    destination_subnets: list[str] = []
    port: UInt32 = 0
    source_labels: Labels = {}
    gateways: list[str] = []
    source_namespace: str = ""


class TLSRoute(Spec, frozen=True):
    """One rule for TLS connections that are passed through."""

    match: list[TLSMatchAttributes]
    route: list[RouteDestination] = []


class VirtualService(Spec, frozen=True):
    """Routes for `hosts`, on the sidecars (gateway `mesh`, the default) and on the gateways named."""

    hosts: list[HostName] = []
    gateways: list[str] = []
    http: list[HTTPRoute] = []
    tls: list[TLSRoute] = []
    tcp: list[TCPRoute] = []
    export_to: list[str] = []
