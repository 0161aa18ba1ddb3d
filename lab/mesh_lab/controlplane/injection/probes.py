"""An application's probes and hooks, made to reach it although its ports take only mutual TLS.

The node's requests come from outside the pod and carry no certificate. Istio sends them to its agent; here Envoy itself
answers on 15020, a port that is not redirected, at Istio's paths `/app-health/CONTAINER/PROBE` and
`/app-lifecycle/CONTAINER/HOOK`. It checks the application at the pod's address, as the node would:

- http: handed on to the application, whose answer is the answer;
- tcp: a connection to Envoy says nothing about the application, so Envoy tries the application's port itself, once a
  second, and answers 200 while it connects and 503 while it does not;
- grpc: likewise, with gRPC's own health check;
- exec: runs within the container and stays as it is, as does a hook that is not http.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from mesh_lab.controlplane.xds.names import INBOUND_SOURCE

HTTP_CONNECTION_MANAGER = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
PORT = 15020


class Handler(NamedTuple):
    """Where a container declares a probe or hook, and the path at which Envoy answers it."""

    field: tuple[str, ...]
    path: str


Handlers = tuple[Handler, ...]
_READINESS = Handler(("readinessProbe",), "/app-health/{}/readyz")
_LIVENESS = Handler(("livenessProbe",), "/app-health/{}/livez")
_STARTUP = Handler(("startupProbe",), "/app-health/{}/startupz")
_PRE_STOP = Handler(("lifecycle", "preStop"), "/app-lifecycle/{}/prestopz")
_POST_START = Handler(("lifecycle", "postStart"), "/app-lifecycle/{}/poststartz")
HANDLERS: Handlers = (_READINESS, _LIVENESS, _STARTUP, _PRE_STOP, _POST_START)
AFTER_START: Handlers = (_READINESS, _LIVENESS, _PRE_STOP)
"""The probes of a container that has started."""

_CHECK_SECONDS = "1s"


@dataclass(frozen=True)
class Probe:
    """A probe that Envoy answers: its path, and the request that goes to the application."""

    path: str
    kind: Literal["http", "https", "tcp", "grpc"]
    port: int
    target: str
    timeout_seconds: int
    """How long the application has for its answer; 0: as long as it takes."""

    @property
    def cluster(self) -> str:
        """The name of the cluster that leads to the application for this probe."""
        return "probe" + self.path.replace("/", "|")


def rewrite(container: Mapping[str, Any], handlers: Handlers = HANDLERS) -> tuple[dict[str, Any], list[Probe]]:
    """The container with its handlers sent to 15020, and what Envoy must know to answer them."""
    new: dict[str, Any] = copy.deepcopy(dict(container))
    probes = []
    for handler in handlers:
        *parents, name = handler.field
        holder = new
        for parent in parents:
            holder = holder.get(parent) or {}
        declared = holder.get(name)
        if not declared:
            continue
        path = handler.path.format(container["name"])
        probe = _hook(path, declared, container) if parents else _read(path, declared, container)
        if probe is None:
            continue
        probes.append(probe)
        holder[name] = _sent_to(probe, declared)
    return new, probes


def _sent_to(probe: Probe, declared: Mapping[str, Any]) -> dict[str, Any]:
    action = declared.get("httpGet") or {}
    changed = {name: value for name, value in declared.items() if name not in ("httpGet", "tcpSocket", "grpc")}
    changed["httpGet"] = {"path": probe.path, "port": PORT, "scheme": "HTTP"}
    if action.get("httpHeaders"):
        changed["httpGet"]["httpHeaders"] = action["httpHeaders"]
    return changed


def _read(path: str, declared: Mapping[str, Any], container: Mapping[str, Any]) -> Probe | None:
    """None for a probe that stays as it is: exec, one that names another host, or a port that there is not."""
    timeout = max(int(declared.get("timeoutSeconds") or 1), 1)
    if http := declared.get("httpGet"):
        return _http(path, http, container, timeout)
    if tcp := declared.get("tcpSocket"):
        port = _number(tcp.get("port"), container)
        return None if port is None or tcp.get("host") else Probe(path, "tcp", port, "", timeout)
    if grpc := declared.get("grpc"):
        return Probe(path, "grpc", int(grpc["port"]), grpc.get("service") or "", timeout)
    return None


def _hook(path: str, declared: Mapping[str, Any], container: Mapping[str, Any]) -> Probe | None:
    """A hook takes as long as it takes: the node limits it. Kubernetes makes no use of `tcpSocket` in hooks."""
    http = declared.get("httpGet")
    return _http(path, http, container, 0) if http else None


def _http(path: str, action: Mapping[str, Any], container: Mapping[str, Any], timeout: int) -> Probe | None:
    port = _number(action.get("port"), container)
    if port is None or action.get("host") or port == PORT:
        return None
    kind: Literal["http", "https"] = "https" if (action.get("scheme") or "HTTP").upper() == "HTTPS" else "http"
    return Probe(path, kind, port, action.get("path") or "/", timeout)


def _number(port: object, container: Mapping[str, Any]) -> int | None:
    if isinstance(port, int):
        return port
    if isinstance(port, str) and port.isdigit():
        return int(port)
    named = (p for p in container.get("ports") or () if p.get("name") == port)
    return next((int(p["containerPort"]) for p in named), None)


def routes(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """The routes by which Envoy hands probes on to the application."""
    return [
        {
            "match": {"path": probe.path},
            "route": {
                "cluster": probe.cluster,
                "prefix_rewrite": probe.target if probe.target.startswith("/") else f"/{probe.target}",
                "timeout": f"{probe.timeout_seconds}s",
            },
        }
        for probe in probes
        if probe.kind in ("http", "https")
    ]


def filters(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """The filters that answer probes by what Envoy's own checks of the application found."""
    return [_health_filter(probe) for probe in probes if probe.kind in ("tcp", "grpc")]


def _health_filter(probe: Probe) -> dict[str, Any]:
    return {
        "name": "envoy.filters.http.health_check",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": False,
            "headers": [{"name": ":path", "string_match": {"exact": probe.path}}],
            "cluster_min_healthy_percentages": {probe.cluster: {"value": 100}},
        },
    }


def clusters(probes: Sequence[Probe]) -> list[dict[str, Any]]:
    """The clusters that lead to the application, past the redirection."""
    return [_cluster(probe) for probe in probes]


def _cluster(probe: Probe) -> dict[str, Any]:
    address = {"socket_address": {"address": "$(INSTANCE_IP)", "port_value": probe.port}}
    cluster: dict[str, Any] = {
        "name": probe.cluster,
        "type": "STATIC",
        "connect_timeout": f"{max(probe.timeout_seconds, 1)}s",
        "upstream_bind_config": {"source_address": {"address": INBOUND_SOURCE, "port_value": 0}},
        "load_assignment": {
            "cluster_name": probe.cluster,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    }
    if probe.kind == "https":
        # As the node itself does: a probe's certificate is not verified.
        cluster["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
            },
        }
    if probe.kind in ("tcp", "grpc"):
        check: dict[str, Any] = {"tcp_health_check": {}}
        if probe.kind == "grpc":
            check = {"grpc_health_check": {"service_name": probe.target} if probe.target else {}}
            cluster["typed_extension_protocol_options"] = http2_options()
        cluster["health_checks"] = [
            {
                "timeout": f"{probe.timeout_seconds}s",
                "interval": _CHECK_SECONDS,
                "no_traffic_interval": _CHECK_SECONDS,
                "no_traffic_healthy_interval": _CHECK_SECONDS,
                "unhealthy_threshold": 1,
                "healthy_threshold": 1,
                **check,
            }
        ]
    return cluster


def http2_options(**more: Any) -> dict[str, Any]:
    """A cluster's extension options for HTTP/2 upstream."""
    name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        name: {
            "@type": f"type.googleapis.com/{name}",
            "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": _KEEPALIVE}},
            **more,
        }
    }


_KEEPALIVE = {"interval": "10s", "timeout": "5s"}
