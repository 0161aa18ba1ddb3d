"""DestinationRule.trafficPolicy on how servers are spoken to: what is a failure, pings, PROXY protocol, tunnels."""

from __future__ import annotations

from collections.abc import Iterable

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.common.matcher.v3.matcher_pb2 import HttpHeadersMatch, MatchPredicate
from envoy.config.core.v3.base_pb2 import TransportSocket
from envoy.config.core.v3.proxy_protocol_pb2 import ProxyProtocolConfig
from envoy.config.route.v3.route_components_pb2 import HeaderMatcher
from envoy.extensions.filters.network.tcp_proxy.v3.tcp_proxy_pb2 import TcpProxy
from envoy.extensions.transport_sockets.proxy_protocol.v3.upstream_proxy_protocol_pb2 import (
    ProxyProtocolUpstreamTransport,
)
from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from envoy.type.matcher.v3.string_pb2 import StringMatcher

from mesh_lab.controlplane.model.destinationrule import ProxyProtocol, TunnelSettings
from mesh_lab.controlplane.xds import tls
from mesh_lab.controlplane.xds.built import any_of
from mesh_lab.controlplane.xds.durations import duration
from mesh_lab.controlplane.xds.policies import Policy

_PROXY_PROTOCOL = "envoy.transport_sockets.upstream_proxy_protocol"


def apply_http(options: HttpProtocolOptions, policy: Policy) -> None:
    """Pings of HTTP/2 connections, where HTTP/2 is spoken at all, and the status codes that are failures."""
    http = policy.connection_pool.http if policy.connection_pool else None
    pings = http.http2_keep_alive if http is not None else None
    spoken = options.explicit_http_config
    if pings is not None and spoken.HasField("http2_protocol_options"):
        for name in ("interval", "timeout"):
            if given := getattr(pings, name):
                getattr(spoken.http2_protocol_options.connection_keepalive, name).CopyFrom(duration(given))
    codes = policy.outlier_detection.outlier_detection_http_error_codes if policy.outlier_detection else ()
    if codes:
        options.outlier_detection.error_matcher.CopyFrom(_any_status(codes))


def _any_status(codes: Iterable[int]) -> MatchPredicate:
    """An answer with one of these codes."""
    each = [
        MatchPredicate(
            http_response_headers_match=HttpHeadersMatch(
                headers=[HeaderMatcher(name=":status", string_match=StringMatcher(exact=str(code)))]
            )
        )
        for code in codes
    ]
    return each[0] if len(each) == 1 else MatchPredicate(or_match=MatchPredicate.MatchSet(rules=each))


def announce_client(cluster: Cluster, settings: ProxyProtocol | None) -> None:
    """Each connection begins with the client's address (PROXY protocol), before any TLS; version 1 by default."""
    if settings is None:
        return
    version = ProxyProtocolConfig.V2 if settings.version == "V2" else ProxyProtocolConfig.V1
    for match in cluster.transport_socket_matches:
        match.transport_socket.CopyFrom(_within(match.transport_socket, version))
    if not cluster.transport_socket_matches:
        inner = cluster.transport_socket if cluster.HasField("transport_socket") else tls.raw_buffer()
        cluster.transport_socket.CopyFrom(_within(inner, version))


def _within(inner: TransportSocket, version: ProxyProtocolConfig.Version.ValueType) -> TransportSocket:
    message = ProxyProtocolUpstreamTransport(config=ProxyProtocolConfig(version=version), transport_socket=inner)
    return TransportSocket(name=_PROXY_PROTOCOL, typed_config=any_of(message))


def tunnel(proxy: TcpProxy, settings: TunnelSettings | None) -> None:
    """Connections go through an HTTP proxy, to a target that is named to it by CONNECT, or by POST."""
    if settings is None:
        return
    host = f"[{settings.target_host}]" if ":" in settings.target_host else settings.target_host
    proxy.tunneling_config.hostname = f"{host}:{settings.target_port}"
    proxy.tunneling_config.use_post = settings.protocol == "POST"
