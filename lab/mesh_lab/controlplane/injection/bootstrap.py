"""Envoy's bootstrap: where the control plane is, how Envoy proves its identity, and what never changes.

It is handed to Envoy on its command line; `$(NAME)` is replaced by Kubernetes with the container's environment, so one
text serves all pods of a workload. Everything that depends on the mesh comes over ADS.

Files are read when Envoy starts and never followed: that takes inotify instances, two of them for a token. Linux gives
128 to a user, and all proxies of a machine are one user, so that the 65th would abort. So the token is valid for as
long as any lab is up, and for no longer than its pod is there. Other ways to show it in each request were no better:

- A Lua filter that reads the file needs no instance, but crashes Envoy 1.40 whenever it ends.
- The gRPC library with `file_based_metadata`: five more threads in each proxy, and after the control plane was away for
  four seconds it was not called again within two and a half; Envoy's own client was back in 12 ms to 0.1 s.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mesh_lab.controlplane.injection import counting, merging, probes, securemetrics, status_port
from mesh_lab.controlplane.injection.families import at_each_family
from mesh_lab.controlplane.injection.lua import compact
from mesh_lab.controlplane.injection.merging import Target
from mesh_lab.controlplane.injection.probes import Probe
from mesh_lab.controlplane.injection.securemetrics import SecureMetrics
from mesh_lab.controlplane.trust.root import MOUNTED_AT, ROOT_KEY
from mesh_lab.controlplane.validation.common import MOST_PROGRAM
from mesh_lab.controlplane.world.podsettings import Statistics
from mesh_lab.controlplane.world.proxy import ProxyKind
from mesh_lab.controlplane.xds.names import statistics
from mesh_lab.controlplane.xds.scraping import SCRAPE_LUA
from mesh_lab.istioversion import ISTIO_VERSION

ADMIN_PORT = 15000
"""Where Istio's users ask. What is there answers as Envoy does, and has the metrics under Istio's names."""
OWN_ADMIN_PORT = 15009
"""Where Envoy's administration interface is; it goes on when listeners are drained."""
READY_PORT = 15021
STATS_PORT = 15090
PROXY_UID = 1337

TOKEN_DIRECTORY = "/var/run/secrets/tokens"
ROOT_DIRECTORY = MOUNTED_AT
CUSTOM_DIRECTORY = "/etc/istio/custom-bootstrap"
CUSTOM_BOOTSTRAP = f"{CUSTOM_DIRECTORY}/custom_bootstrap.json"
_T = "type.googleapis.com/"

_TOKEN_SECRET = "istio-token"

_MOST_STATS_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class ProxySettings:
    """What differs from one workload's proxies to another's.

    `metadata` are what the node says of itself beside the usual. `custom`: the pod has a bootstrap of its own beside.
    `dual`: pods have addresses of both IP families. `secure`: metrics over TLS. `patched` is what EnvoyFilters make.
    """

    kind: ProxyKind
    workload: str = ""
    app: str = ""
    control_plane: str = "istiod.istio-system.svc"
    control_plane_port: int = 15012
    cluster_domain: str = "cluster.local"
    concurrency: int = 1
    drain_seconds: int = 45
    log_level: str = "warning"
    component_log_level: str = "misc:error"
    file_flush_milliseconds: int = 0
    file_flush_kilobytes: int = 0
    probes: tuple[Probe, ...] = ()
    metrics: tuple[Target, ...] = ()
    stats: Statistics = field(default_factory=Statistics)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    runtime: Mapping[str, bool | float | str] = field(default_factory=dict)
    custom: bool = False
    dual: bool = False
    secure: SecureMetrics = securemetrics.NONE
    patched: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document


def arguments(settings: ProxySettings) -> list[str]:
    """Envoy's arguments."""
    return [
        "--config-yaml",
        json.dumps(settings.patched(config(settings)), separators=(",", ":")),
        # Envoy merges the file and the text: what both have is the text's, and lists are joined.
        *(["--config-path", CUSTOM_BOOTSTRAP] if settings.custom else []),
        # Without it there are as many as the machine has processors.
        *(["--concurrency", str(settings.concurrency)] if settings.concurrency else []),
        "--disable-hot-restart",
        # `stat_prefix` of the metrics' access logger is deprecated and has no successor: one line a listener.
        "--skip-deprecated-logs",
        "--drain-time-s",
        str(settings.drain_seconds),
        "--drain-strategy",
        "immediate",
        # The access log, which Envoy buffers for 10 s by default: a user looks for a request right after sending it.
        "--file-flush-interval-msec",
        str(settings.file_flush_milliseconds or 1000),
        *(["--file-flush-min-size-kb", str(settings.file_flush_kilobytes)] if settings.file_flush_kilobytes else []),
        "--local-address-ip-version",
        "v4",
        "--log-level",
        settings.log_level,
        # `misc:error` unless given, as in Istio: deprecations concern the control plane, and would be logged again for
        # every listener.
        "--component-log-level",
        settings.component_log_level,
        "--log-format",
        "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n\t%v",
    ]


def config(settings: ProxySettings) -> dict[str, Any]:
    """The bootstrap, as JSON.

    https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/bootstrap/v3/bootstrap.proto
    """
    ads = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
    return {
        "node": _node(settings),
        "admin": {
            "address": _address("127.0.0.1", OWN_ADMIN_PORT),
            "ignore_global_conn_limit": True,
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _runtime(settings)}]},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_T}envoy.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": 2**31 - 1,
                    },
                }
            ]
        },
        "stats_config": counting.stats_config(settings.stats),
        # Prometheus sees a duration once Envoy has brought its workers' figures together: every 5 s by default. Each
        # second of an idle proxy costs no more for it (0.3% of a processor, with either).
        "stats_flush_interval": settings.stats.flush_interval or "1s",
        "dynamic_resources": {
            "ads_config": {
                "api_type": "DELTA_GRPC",
                "transport_api_version": "V3",
                "set_node_on_first_message_only": True,
                "grpc_services": [
                    {
                        "envoy_grpc": {
                            "cluster_name": "xds-grpc",
                            "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}},
                        }
                    }
                ],
            },
            "cds_config": ads,
            "lds_config": ads,
        },
        "static_resources": {
            "secrets": [
                {"name": _TOKEN_SECRET, "generic_secret": {"secret": {"filename": f"{TOKEN_DIRECTORY}/istio-token"}}}
            ],
            "clusters": [
                {**cluster, "alt_stat_name": statistics(cluster["name"])}
                for cluster in (
                    _local_cluster("admin", OWN_ADMIN_PORT),
                    _local_cluster("stats", STATS_PORT),
                    *(_local_cluster(*each) for each in securemetrics.clusters(settings.secure)),
                    _control_plane(settings),
                    *probes.clusters(settings.probes),
                    *merging.clusters(settings.metrics),
                )
            ],
            "listeners": [
                at_each_family(listener) if settings.dual else listener
                for listener in (
                    _ready_listener(),
                    _stats_listener(settings.secure.open_to),
                    _asked_listener(),
                    status_port.listener(settings.probes, settings.metrics, _MOST_STATS_BYTES, settings.secure),
                    *securemetrics.listeners(settings.secure, _MOST_STATS_BYTES),
                )
            ],
        },
    }


# What one connection may have decoded in one turn of Envoy's loop. HTTP/2 brings all that clients send at a time over
# one connection: without a limit they are worked on in one go, and the application behind the sidecar, as well as all
# other connections, waits for the last of them.
_MOST_REQUESTS_A_TURN = 16


def _runtime(settings: ProxySettings) -> dict[str, Any]:
    runtime = {
        "re2.max_program_size.error_level": MOST_PROGRAM,
        "http.max_requests_per_io_cycle": _MOST_REQUESTS_A_TURN,
        # Envoy would fill HTTP/2's histograms even where they are not among the statistics that are kept.
        "envoy.reloadable_features.http2_record_histograms": bool(settings.stats.more),
        # How HTTP is distinguished from other protocols. Envoy's newer parser takes any word for the beginning of a
        # request, and holds text back until its first line ends (without end, or the connection is closed at 64 KiB);
        # the older one decides at the first byte that no request can begin with.
        "envoy.reloadable_features.http_inspector_use_balsa_parser": False,
    }
    if settings.kind == "sidecar":
        # A connection of which 250 requests were cancelled within a second is taken for an attack and closed, with all
        # requests that are still on it. Between sidecars it holds the requests of a whole pod, and what cancels them is
        # a rule's time limit, or a client that went away. Gateways keep the protection: theirs come from outside.
        runtime["overload.premature_reset_total_stream_count"] = 2**32 - 1
    return {**runtime, **settings.runtime}


def node_id(settings: ProxySettings) -> str:
    """What a proxy is called, in Istio's form; Kubernetes fills in the variables."""
    domain = f"$(POD_NAMESPACE).svc.{settings.cluster_domain}"
    return f"{settings.kind}~$(INSTANCE_IP)~$(POD_NAME).$(POD_NAMESPACE)~{domain}"


def _node(settings: ProxySettings) -> dict[str, Any]:
    return {
        "id": node_id(settings),
        # What Zipkin calls the workload: as in Istio by its label `app`, if it has one.
        "cluster": f"{settings.app or settings.workload or '$(POD_NAME)'}.$(POD_NAMESPACE)",
        "metadata": {
            "NAME": "$(POD_NAME)",
            "NAMESPACE": "$(POD_NAMESPACE)",
            "SERVICE_ACCOUNT": "$(SERVICE_ACCOUNT)",
            "WORKLOAD_NAME": settings.workload or "$(POD_NAME)",
            "ISTIO_VERSION": ISTIO_VERSION,
            **({"INSTANCE_IPS": "$(INSTANCE_IPS)"} if settings.dual else {}),
            **settings.metadata,
        },
    }


def _control_plane(settings: ProxySettings) -> dict[str, Any]:
    """Istiod: verified against the mesh's root; each request carries the pod's token."""
    injector = {
        "@type": f"{_T}envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
        "overwrite": True,
        "credential": {
            "name": "envoy.http.injected_credentials.generic",
            "typed_config": {
                "@type": f"{_T}envoy.extensions.http.injected_credentials.generic.v3.Generic",
                "credential": {"name": _TOKEN_SECRET},
            },
        },
    }
    filters = [
        {"name": "envoy.filters.http.credential_injector", "typed_config": injector},
        {
            "name": "envoy.filters.http.upstream_codec",
            "typed_config": {"@type": f"{_T}envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec"},
        },
    ]
    return {
        "name": "xds-grpc",
        "cluster_type": {
            "name": "envoy.cluster.dns",
            "typed_config": {
                "@type": f"{_T}envoy.extensions.clusters.dns.v3.DnsCluster",
                "dns_lookup_family": "V4_ONLY",
                "dns_refresh_rate": "30s",
                "dns_failure_refresh_rate": {"base_interval": "0.1s", "max_interval": "1s"},
                # The name is fully qualified: without the dot the pod's search domains would be tried first, in vain.
                "typed_dns_resolver_config": {
                    "name": "envoy.network.dns_resolver.cares",
                    "typed_config": {
                        "@type": f"{_T}envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                        "dns_resolver_options": {"no_default_search_domain": True},
                        "query_timeout_seconds": 1,
                        "query_tries": 4,
                    },
                },
            },
        },
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": "xds-grpc",
            "endpoints": [
                {
                    "lb_endpoints": [
                        {
                            "endpoint": {
                                "address": _address(
                                    f"{settings.control_plane}.{settings.cluster_domain}",
                                    settings.control_plane_port,
                                )
                            }
                        }
                    ]
                }
            ],
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": f"{_T}envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": settings.control_plane,
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
                    # Read once, so that no proxy takes an inotify instance: Linux gives 128 to a user.
                    "validation_context": {
                        "trusted_ca": {"filename": f"{ROOT_DIRECTORY}/{ROOT_KEY}"},
                        "match_typed_subject_alt_names": [
                            {"san_type": "DNS", "matcher": {"exact": settings.control_plane}}
                        ],
                    },
                },
            },
        },
        "typed_extension_protocol_options": probes.http2_options(http_filters=filters),
    }


def _local_cluster(name: str, port: int) -> dict[str, Any]:
    """One of Envoy's own ports."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address("127.0.0.1", port)}}]}],
        },
    }


def _ready_listener() -> dict[str, Any]:
    """Ready once Envoy has its first listeners and clusters, all of them warm."""
    return _admin_listener("ready", READY_PORT, "/healthz/ready", "/ready", [])


def _stats_listener(host: str) -> dict[str, Any]:
    rename = {
        "name": "envoy.filters.http.lua",
        "typed_config": {
            "@type": f"{_T}envoy.extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": compact(SCRAPE_LUA)},
        },
    }
    listener = _admin_listener("stats", STATS_PORT, "/stats/prometheus", "/stats/prometheus", [rename])
    return {**listener, "address": _address(host, STATS_PORT), "per_connection_buffer_limit_bytes": _MOST_STATS_BYTES}


def _asked_listener() -> dict[str, Any]:
    """The administration interface for users within the pod: all of it, with the metrics as they are scraped."""
    metrics = {
        "match": {"path": "/stats/prometheus"},
        "route": {"cluster": "stats", "timeout": "60s"},
    }
    rest = {"match": {"prefix": "/"}, "route": {"cluster": "admin", "timeout": "0s"}}
    listener = _http_listener("administration", ("127.0.0.1", ADMIN_PORT), [metrics, rest], [])
    return {**listener, "per_connection_buffer_limit_bytes": _MOST_STATS_BYTES}


def _admin_listener(name: str, port: int, path: str, admin_path: str, filters: list[dict[str, Any]]) -> dict[str, Any]:
    """One path of Envoy's administration interface, the rest of which stays within the pod."""
    route = {
        "match": {"path": path},
        "route": {"cluster": "admin", "prefix_rewrite": admin_path},
        # Prometheus accepts protobuf, which Envoy offers, and in which the metrics could not be renamed.
        "request_headers_to_remove": ["accept"],
    }
    return _http_listener(name, ("0.0.0.0", port), [route], filters)


def _http_listener(
    name: str, place: tuple[str, int], routes: list[dict[str, Any]], filters: list[dict[str, Any]]
) -> dict[str, Any]:
    router = {
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": f"{_T}envoy.extensions.filters.http.router.v3.Router"},
    }
    manager: Mapping[str, Any] = {
        "@type": f"{_T}envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": name,
        "route_config": {"virtual_hosts": [{"name": name, "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, router],
    }
    return {
        "name": name,
        "address": _address(*place),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
        "ignore_global_conn_limit": True,
    }


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
