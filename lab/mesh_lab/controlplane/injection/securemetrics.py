"""Metrics over the mesh's mutual TLS, at ports that a pod asks for by variables of its proxy.

| variable | what it does |
|---|---|
| `ENVOY_SECURE_METRICS_PORT` | the proxy's metrics, as at 15090 |
| `ENVOY_SECURE_MERGED_METRICS_PORT` | the proxy's and the application's, as at 15020 |
| `METRICS_LOCALHOST_ACCESS_ONLY` | at 15090 and 15020 they are for the pod itself only |

A client shows any certificate of the mesh's authority.
https://istio.io/latest/docs/tasks/observability/metrics/secure-metrics/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mesh_lab.controlplane.injection.merging import PATH, RESERVED
from mesh_lab.controlplane.injection.probes import HTTP_CONNECTION_MANAGER, PORT
from mesh_lab.controlplane.world.annotations import SECURE_PORT, parse_boolean
from mesh_lab.controlplane.xds.names import DEFAULT_SECRET, ROOT_SECRET

PROXYS, MERGED = "ENVOY_SECURE_METRICS_PORT", "ENVOY_SECURE_MERGED_METRICS_PORT"
LOCAL_ONLY = "METRICS_LOCALHOST_ACCESS_ONLY"
_MERGED_CLUSTER = "merged-metrics"
_EXTENSIONS = "type.googleapis.com/envoy.extensions"


class SecureMetrics(NamedTuple):
    """The ports with mutual TLS (0: none), and whether those without are for the pod itself only."""

    proxys: int = 0
    merged: int = 0
    local_only: bool = False

    @property
    def ports(self) -> tuple[int, ...]:
        """The ports that a proxy has, which are its own: nothing of theirs is redirected."""
        return tuple(filter(None, (self.proxys, self.merged)))

    @property
    def open_to(self) -> str:
        """Where the ports without TLS listen."""
        return "127.0.0.1" if self.local_only else "0.0.0.0"


NONE = SecureMetrics()


def of(variables: Mapping[str, str]) -> SecureMetrics:
    """What a proxy's variables ask for.

    Raises:
        ValueError: a variable, which it names, is not a port that is free.
    """
    found = SecureMetrics(
        _port(variables, PROXYS), _port(variables, MERGED), parse_boolean(variables.get(LOCAL_ONLY, "")) is True
    )
    if found.proxys and found.proxys == found.merged:
        raise ValueError(f"{PROXYS} and {MERGED} both ask for port {found.proxys}")
    return found


def _port(variables: Mapping[str, str], name: str) -> int:
    text = variables.get(name, "") or "0"
    if not (text.isascii() and text.isdecimal() and int(text) < 65536):
        raise ValueError(f"{name}: {text!r} is not a port")
    if int(text) in (PORT, *RESERVED):
        raise ValueError(f"{name}: {text} is a port of the proxy's own already")
    return int(text)


def announced(secure: SecureMetrics, given: Mapping[str, str]) -> dict[str, str]:
    """What tells Prometheus of the port, as Istio's injector does, where the pod says nothing else."""
    return {SECURE_PORT: str(secure.merged)} if secure.merged and SECURE_PORT not in given else {}


def clusters(secure: SecureMetrics) -> list[tuple[str, int]]:
    """The clusters that the listeners need beside the proxy's usual ones, with their ports of the loopback."""
    return [(_MERGED_CLUSTER, PORT)] if secure.merged else []


def listeners(secure: SecureMetrics, most_bytes: int) -> Iterator[dict[str, Any]]:
    """The listeners; `most_bytes` is how large a page of metrics may be."""
    if secure.proxys:
        yield _listener(secure.proxys, "stats", (PATH,), most_bytes)
    if secure.merged:
        yield _listener(secure.merged, _MERGED_CLUSTER, (PATH, "/metrics"), most_bytes)


def _listener(port: int, cluster: str, paths: tuple[str, ...], most_bytes: int) -> dict[str, Any]:
    routes = [{"match": {"prefix": path}, "route": {"cluster": cluster, "timeout": "60s"}} for path in paths]
    manager = {
        "@type": HTTP_CONNECTION_MANAGER,
        "stat_prefix": "secure_stats",
        "route_config": {"virtual_hosts": [{"name": "backend", "domains": ["*"], "routes": routes}]},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_EXTENSIONS}.filters.http.router.v3.Router"},
            }
        ],
    }
    chain = {
        # What is not TLS finds no chain, and is closed.
        "filter_chain_match": {"transport_protocol": "tls"},
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls()},
        "filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}],
    }
    inspector = {
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {"@type": f"{_EXTENSIONS}.filters.listener.tls_inspector.v3.TlsInspector"},
    }
    return {
        "name": f"0.0.0.0_{port}",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "listener_filters": [inspector],
        "filter_chains": [chain],
        "per_connection_buffer_limit_bytes": most_bytes,
        "ignore_global_conn_limit": True,
    }


def _tls() -> dict[str, Any]:
    return {
        "@type": f"{_EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificate_sds_secret_configs": [_secret(DEFAULT_SECRET)],
            "combined_validation_context": {
                "default_validation_context": {},
                "validation_context_sds_secret_config": _secret(ROOT_SECRET),
            },
        },
    }


def _secret(name: str) -> dict[str, Any]:
    """As `xds.tls.secret` has it: of a source that differs in anything Envoy would wait, and not ask, a second time."""
    return {"name": name, "sds_config": {"ads": {}, "resource_api_version": "V3"}}
