"""The HTTP connection manager, and the small parts that every listener is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

from envoy.config.accesslog.v3.accesslog_pb2 import AccessLog
from envoy.config.listener.v3.listener_components_pb2 import Filter, ListenerFilter
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.extensions.filters.http.cors.v3.cors_pb2 import Cors
from envoy.extensions.filters.http.fault.v3.fault_pb2 import HTTPFault
from envoy.extensions.filters.http.router.v3.router_pb2 import Router
from envoy.extensions.filters.listener.http_inspector.v3.http_inspector_pb2 import HttpInspector
from envoy.extensions.filters.listener.original_dst.v3.original_dst_pb2 import OriginalDst
from envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import ProxyProtocol
from envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import TlsInspector
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
    HttpFilter,
    Rds,
)
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.request_id.uuid.v3.uuid_pb2 import UuidRequestIdConfig
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from mesh_lab.controlplane.model.meshproxy import Topology
from mesh_lab.controlplane.world.meshconfig import MeshConfig, Normalization
from mesh_lab.controlplane.xds import actions, names, sessions, tls, tracing
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.proxycontext import ProxyContext

SERVER_NAME = "istio-envoy"
Side = Literal["outbound", "inbound", "gateway"]
Inspector = Literal["original_dst", "proxy_protocol", "tls_inspector", "http_inspector"]

SNIFFED = ("http/1.0", "http/1.1", "h2c")
"""What the HTTP inspector calls the HTTP that it finds in plain text."""

_KEPT, _UNESCAPED = HttpConnectionManager.KEEP_UNCHANGED, HttpConnectionManager.UNESCAPE_AND_FORWARD
# Whether dots and back-slashes are resolved, and slashes merged; and what becomes of slashes that are escaped.
# https://istio.io/latest/docs/ops/best-practices/security/#customize-your-system-on-path-normalization
_NORMALIZATION: Mapping[
    Normalization, tuple[bool, bool, HttpConnectionManager.PathWithEscapedSlashesAction.ValueType]
] = {
    "DEFAULT": (True, False, _KEPT),
    "BASE": (True, False, _KEPT),
    "NONE": (False, False, _KEPT),
    "MERGE_SLASHES": (True, True, _KEPT),
    "DECODE_AND_MERGE_SLASHES": (True, True, _UNESCAPED),
}

_REQUEST_ID = any_of(UuidRequestIdConfig())
_HCM = "envoy.filters.network.http_connection_manager"
_TCP = "envoy.filters.network.tcp_proxy"


def connection_manager(
    side: Side,
    name: str,
    context: ProxyContext,
    logs: Iterable[AccessLog],
    before: Iterable[HttpFilter] = (),
) -> HttpConnectionManager:
    """What all HTTP listeners share. The caller adds the routes, and what else its side needs.

    `before` comes first among the filters; the client's side goes on with CORS and faults; the router is last. It
    counts answers by their code only where the pod requests more statistics: other proxies do not keep the figures (see
    `bootstrap`), and the look-up is 4% of the work of a request. Paths are normalised before anything reads them.
    """
    normalized, merged, escaped = _NORMALIZATION[context.mesh.path_normalization.normalization]
    manager = HttpConnectionManager(
        stat_prefix=names.statistics(name),
        access_log=list(logs),
        http_filters=[*before, *([] if side == "inbound" else _client_filters()), _router(context.own.more_statistics)],
        upgrade_configs=[HttpConnectionManager.UpgradeConfig(upgrade_type="websocket")],
        stream_idle_timeout=Duration(),
        normalize_path={"value": normalized},
        merge_slashes=merged,
        path_with_escaped_slashes_action=escaped,
    )
    manager.http2_protocol_options.allow_connect = True
    manager.request_id_extension.typed_config.CopyFrom(_REQUEST_ID)
    tracing.trace(manager, context.telemetry, context.mesh, context.own, side=side)
    if side == "outbound":
        manager.use_remote_address.value = False
        return manager
    manager.server_name = SERVER_NAME
    manager.use_remote_address.value = side == "gateway"
    if side == "gateway":
        _trust_what_stands_before(manager, context.topology)
    return manager


_DETAILS = {
    "UNDEFINED": HttpConnectionManager.SANITIZE_SET,
    "SANITIZE": HttpConnectionManager.SANITIZE,
    "FORWARD_ONLY": HttpConnectionManager.FORWARD_ONLY,
    "APPEND_FORWARD": HttpConnectionManager.APPEND_FORWARD,
    "SANITIZE_SET": HttpConnectionManager.SANITIZE_SET,
    "ALWAYS_FORWARD_ONLY": HttpConnectionManager.ALWAYS_FORWARD_ONLY,
}


def _trust_what_stands_before(manager: HttpConnectionManager, topology: Topology) -> None:
    """How many proxies before a gateway tell the client's address truly, and what becomes of its certificate.

    https://istio.io/latest/docs/ops/configuration/traffic-management/network-topologies/
    """
    manager.xff_num_trusted_hops = topology.num_trusted_proxies
    manager.forward_client_cert_details = _DETAILS[topology.forward_client_cert_details]
    if manager.forward_client_cert_details in (
        HttpConnectionManager.APPEND_FORWARD,
        HttpConnectionManager.SANITIZE_SET,
    ):
        details = manager.set_current_client_cert_details
        details.subject.value = details.uri = details.dns = details.cert = True


def _client_filters() -> list[HttpFilter]:
    """Filters that are idle, and free of cost, until a route brings a configuration for them."""
    return [
        HttpFilter(name=actions.CORS_FILTER, typed_config=any_of(Cors()), disabled=True),
        HttpFilter(name=actions.FAULT_FILTER, typed_config=any_of(HTTPFault()), disabled=True),
        sessions.idle_filter(),
    ]


def _router(more_statistics: bool) -> HttpFilter:
    router = Router(dynamic_stats={"value": more_statistics})
    return HttpFilter(name="envoy.filters.http.router", typed_config=any_of(router))


def rds(name: str) -> Rds:
    """Routes that the control plane sends apart from the listener."""
    return Rds(config_source=tls.ads(), route_config_name=name)


def http_filter(manager: HttpConnectionManager) -> Filter:
    """A connection manager as the last filter of a chain."""
    return Filter(name=_HCM, typed_config=any_of(manager))


def tcp_filter(proxy: TcpProxy) -> Filter:
    """A TCP proxy as the last filter of a chain. It logs a connection when it is made, and when it ends."""
    proxy.access_log_options.flush_access_log_on_connected = any(log.HasField("filter") for log in proxy.access_log)
    return Filter(name=_TCP, typed_config=any_of(proxy))


def without_logs(cluster: str) -> Filter:
    """Connections passed to a cluster, without access logs."""
    return Filter(name=_TCP, typed_config=any_of(TcpProxy(stat_prefix=cluster, cluster=cluster)))


_INSPECTORS: Mapping[Inspector, Callable[[], Message]] = {
    "original_dst": OriginalDst,
    "proxy_protocol": ProxyProtocol,
    "tls_inspector": TlsInspector,
    "http_inspector": HttpInspector,
}


def listener_filter(name: Inspector) -> ListenerFilter:
    """One of the filters that look at a connection before a chain is chosen."""
    return ListenerFilter(name=f"envoy.filters.listener.{name}", typed_config=any_of(_INSPECTORS[name]()))


def detect(listener: Listener, mesh: MeshConfig, *inspectors: Inspector) -> None:
    """Look at connections before a chain is chosen, and for how long (`protocolDetectionTimeout`; 0: without end).

    After that time they are taken for TCP.
    """
    listener.listener_filters.extend(listener_filter(name) for name in inspectors)
    listener.listener_filters_timeout.CopyFrom(duration(mesh.protocol_detection_timeout))
    listener.continue_on_listener_filters_timeout = True
