"""CUSTOM policies: an authoriser outside of the proxy is asked, over HTTP or by Envoy's protocol over gRPC.

RBAC marks the requests that the policies' rules match (by shadow rules, which refuse nothing), and the filter asks
about those only. https://istio.io/latest/docs/tasks/security/authorization/authz-custom/; source:
pilot/pkg/security/authz/builder of Istio 1.30.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.config.core.v3.config_source_pb2 import V3
from envoy.config.core.v3.grpc_service_pb2 import GrpcService
from envoy.config.core.v3.http_uri_pb2 import HttpUri
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import (
    AuthorizationRequest,
    AuthorizationResponse,
    BufferSettings,
    CheckSettings,
    ExtAuthz,
    ExtAuthzPerRoute,
    HttpService,
)
from envoy.extensions.filters.network.ext_authz.v3.ext_authz_pb2 import ExtAuthz as NetworkExtAuthz
from envoy.type.matcher.v3.metadata_pb2 import MetadataMatcher
from envoy.type.matcher.v3.string_pb2 import ListStringMatcher, StringMatcher
from envoy.type.matcher.v3.value_pb2 import ValueMatcher
from envoy.type.v3.http_status_pb2 import HttpStatus
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.model.mesh import MeshConfig
from mesh_lab.controlplane.model.providers import ExtAuthz as Settings
from mesh_lab.controlplane.model.providers import ExtAuthzGrpc, ExtAuthzHttp, RequestBody
from mesh_lab.controlplane.xds import names
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.services import MeshService

FILTER = "envoy.filters.http.ext_authz"
NETWORK_FILTER = "envoy.filters.network.ext_authz"
MARK = "istio-ext-authz"
"""The names of CUSTOM policies' rules begin with it: by that the filter knows whether to ask."""

SHADOW_PREFIX = "istio_ext_authz_"
_DEFAULT_TIMEOUT = "600s"
_NOBODY = "127.0.0.1"


class Authorizer(NamedTuple):
    """A provider of the mesh's settings, with the service that it names."""

    name: str
    settings: Settings
    host: str

    @property
    def cluster(self) -> str:
        """The cluster that leads to it."""
        return names.outbound_cluster(self.settings.port, "", self.host)

    @property
    def takes_connections(self) -> bool:
        """Whether it can be asked about connections, too: Envoy's protocol has them, HTTP has not."""
        return isinstance(self.settings, ExtAuthzGrpc)


def settings_of(mesh: MeshConfig, name: str) -> Settings | None:
    """The settings of an authoriser; None where there is no provider of that name, or it is no authoriser."""
    provider = mesh.provider(name)
    return (provider.envoy_ext_authz_http or provider.envoy_ext_authz_grpc) if provider is not None else None


def host_of(settings: Settings) -> tuple[str, str]:
    """The namespace, which may be empty, and the host of the service that is asked."""
    namespace, _, host = settings.service.rpartition("/")
    return namespace, host


def authorizer(mesh: MeshConfig, name: str, known: Mapping[str, MeshService]) -> Authorizer | None:
    """The provider of that name, if there is one and its service is among those that the proxy knows."""
    settings = settings_of(mesh, name)
    if settings is None:
        return None
    namespace, host = host_of(settings)
    service = known.get(host)
    if service is None or (namespace and service.namespace != namespace):
        return None
    return Authorizer(name, settings, service.called)


def filter_config(asked: Authorizer | None) -> AnyMessage:
    """The filter's configuration. Without an authoriser no route turns it on; one that did would let nobody in."""
    if asked is None:
        return any_of(ExtAuthz(http_service=HttpService(server_uri=_uri(_NOBODY, names.BLACK_HOLE_CLUSTER, "1s"))))
    config = ExtAuthz(
        failure_mode_allow=asked.settings.fail_open,
        transport_api_version=V3,
        filter_enabled_metadata=_marked("envoy.filters.http.rbac", asked.name),
        with_request_body=_body(asked.settings.include_request_body_in_check),
        clear_route_cache=asked.settings.clear_route_cache,
    )
    if asked.settings.status_on_error:
        config.status_on_error.CopyFrom(HttpStatus(code=int(asked.settings.status_on_error)))
    if isinstance(asked.settings, ExtAuthzHttp):
        _ask_by_http(config, asked, asked.settings)
    else:
        config.grpc_service.CopyFrom(_grpc(asked))
    return any_of(config)


def _ask_by_http(config: ExtAuthz, asked: Authorizer, settings: ExtAuthzHttp) -> None:
    sent = settings.include_request_headers_in_check or settings.include_headers_in_check
    if sent:
        config.allowed_headers.CopyFrom(_headers(sent))
    service = HttpService(
        path_prefix=settings.path_prefix,
        server_uri=_uri(asked.host, asked.cluster, settings.timeout or _DEFAULT_TIMEOUT),
    )
    added = [
        HeaderValue(key=name, value=value)
        for name, value in sorted(settings.include_additional_headers_in_check.items())
    ]
    if added:
        service.authorization_request.CopyFrom(AuthorizationRequest(headers_to_add=added))
    response = AuthorizationResponse()
    for part, wanted in (
        (response.allowed_upstream_headers, settings.headers_to_upstream_on_allow),
        (response.allowed_client_headers, settings.headers_to_downstream_on_deny),
        (response.allowed_client_headers_on_success, settings.headers_to_downstream_on_allow),
    ):
        if wanted:
            part.CopyFrom(_headers(wanted))
    if response.ByteSize():
        service.authorization_response.CopyFrom(response)
    config.http_service.CopyFrom(service)


def _uri(host: str, cluster: str, timeout: str) -> HttpUri:
    """Envoy wants a URI, and uses the cluster."""
    return HttpUri(uri=f"http://{host}", cluster=cluster, timeout=duration(timeout))


def _grpc(asked: Authorizer) -> GrpcService:
    return GrpcService(
        envoy_grpc=GrpcService.EnvoyGrpc(cluster_name=asked.cluster, authority=asked.host),
        timeout=duration(asked.settings.timeout or _DEFAULT_TIMEOUT),
    )


def _body(settings: RequestBody | None) -> BufferSettings | None:
    if settings is None:
        return None
    return BufferSettings(
        max_request_bytes=settings.max_request_bytes,
        allow_partial_message=settings.allow_partial_message,
        pack_as_bytes=settings.pack_as_bytes,
    )


def _headers(patterns: Iterable[str]) -> ListStringMatcher:
    return ListStringMatcher(patterns=[_header(pattern) for pattern in patterns])


def _header(pattern: str) -> StringMatcher:
    if pattern.startswith("*"):
        return StringMatcher(suffix=pattern[1:], ignore_case=True)
    if pattern.endswith("*"):
        return StringMatcher(prefix=pattern[:-1], ignore_case=True)
    return StringMatcher(exact=pattern, ignore_case=True)


def _marked(by: str, name: str) -> MetadataMatcher:
    """What RBAC has noted: the rule of a policy with this provider."""
    key = MetadataMatcher.PathSegment(key=f"{SHADOW_PREFIX}shadow_effective_policy_id")
    wanted = ValueMatcher(string_match=StringMatcher(prefix=f"{MARK}-{name}"))
    return MetadataMatcher(filter=by, path=[key], value=wanted)


def route_config() -> AnyMessage:
    """What turns the filter on in a configuration of routes."""
    return any_of(ExtAuthzPerRoute(check_settings=CheckSettings()))


def network_config(asked: Authorizer) -> AnyMessage:
    """The filter of connections."""
    return any_of(
        NetworkExtAuthz(
            stat_prefix="tcp.",
            failure_mode_allow=asked.settings.fail_open,
            transport_api_version=V3,
            grpc_service=_grpc(asked),
            filter_enabled_metadata=_marked("envoy.filters.network.rbac", asked.name),
        )
    )
