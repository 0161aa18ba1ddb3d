"""Envoys configured by hand: the least that takes a request through two of them, mutual TLS and HTTP/2 between.

What the mesh's own sidecars are held against: no control plane, no statistics sinks, no access logs, one route.
"""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]

BACKEND_PORT, CLIENT_PORT, SERVER_PORT = 8080, 18080, 18443
CERTIFICATES = "/certificates"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


def backend() -> Object:
    """Answers every request at once: a server that costs as little as one can."""
    route = {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok\n"}}}
    return _bootstrap([_listener("0.0.0.0", BACKEND_PORT, route)], [])


def client_side(server: str) -> Object:
    """Takes plain HTTP on the loopback and passes it on to `server` over mutual TLS and HTTP/2."""
    tls = {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.UpstreamTlsContext",
        "sni": "server",
        "common_tls_context": _identity("h2"),
    }
    options = {
        "@type": f"{_EXTENSIONS}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = _cluster("server", server, SERVER_PORT, "STRICT_DNS") | {
        "transport_socket": {"name": "tls", "typed_config": tls},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options},
    }
    return _bootstrap([_listener("127.0.0.1", CLIENT_PORT, _to("server"))], [cluster])


def server_side() -> Object:
    """Ends mutual TLS and passes requests on to the backend beside it."""
    tls = {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _identity("h2"),
    }
    listener = _listener("0.0.0.0", SERVER_PORT, _to("backend"))
    listener["filter_chains"][0]["transport_socket"] = {"name": "tls", "typed_config": tls}
    return _bootstrap([listener], [_cluster("backend", "127.0.0.1", BACKEND_PORT, "STATIC")])


def _to(cluster: str) -> Object:
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s"}}


def _bootstrap(listeners: list[Object], clusters: list[Object]) -> Object:
    return {"static_resources": {"listeners": listeners, "clusters": clusters}}


def _listener(address: str, port: int, route: Object) -> Object:
    manager = {
        "@type": f"{_EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"}},
        ],
    }
    return {
        "address": {"socket_address": {"address": address, "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }


def _cluster(name: str, host: str, port: int, discovery: str) -> Object:
    unlimited = 2**32 - 1
    limits = ("max_connections", "max_pending_requests", "max_requests")
    endpoint = {"address": {"socket_address": {"address": host, "port_value": port}}}
    return {
        "name": name,
        "type": discovery,
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, unlimited)]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}]},
    }


def _identity(protocol: str) -> Object:
    certificate = {
        "certificate_chain": {"filename": f"{CERTIFICATES}/tls.crt"},
        "private_key": {"filename": f"{CERTIFICATES}/tls.key"},
    }
    return {
        "alpn_protocols": [protocol],
        "tls_certificates": [certificate],
        "validation_context": {"trusted_ca": {"filename": f"{CERTIFICATES}/ca.crt"}},
    }
