"""Judges generated configuration with the real Envoy: what it would be sent over xDS, as a static bootstrap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from google.protobuf.any_pb2 import Any as AnyMessage

from mesh_lab.controlplane.injection.bootstrap import ProxySettings, _runtime
from mesh_lab.controlplane.xds import Built
from mesh_lab.controlplane.xds.typeurls import CDS, ECDS, EDS, LDS, RDS

ENVOY = Path(sys.executable).with_name("envoy")
MESSAGES = {
    CDS: Cluster,
    EDS: ClusterLoadAssignment,
    LDS: Listener,
    ECDS: TypedExtensionConfig,
    RDS: RouteConfiguration,
}


def message(built: Built) -> Any:
    """The message in a resource."""
    wrapped = AnyMessage.FromString(built.body)
    result = MESSAGES[built.type_url]()
    assert wrapped.Unpack(result)
    return result


def static(resources: Mapping[str, Mapping[str, Built]]) -> Bootstrap:
    """A bootstrap that holds everything: endpoints within their clusters, routes within their listeners.

    ADS needs a cluster to come from; secrets are left to it, since Envoy does not ask for them to validate.
    """
    bootstrap = Bootstrap()
    bootstrap.node.id = "test"
    bootstrap.node.cluster = "test"
    runtime = _runtime(ProxySettings("sidecar"))
    bootstrap.layered_runtime.layers.add(name="static").static_layer.update(runtime)
    ads = bootstrap.dynamic_resources.ads_config
    ads.api_type = ads.DELTA_GRPC
    ads.transport_api_version = 2
    ads.grpc_services.add().envoy_grpc.cluster_name = "xds-grpc"
    control = bootstrap.static_resources.clusters.add(name="xds-grpc")
    control.load_assignment.cluster_name = "xds-grpc"
    control.typed_extension_protocol_options["envoy.extensions.upstreams.http.v3.HttpProtocolOptions"].Pack(_http2())
    routes = {name: message(built) for name, built in resources[RDS].items()}
    extensions = {name: message(built) for name, built in resources.get(ECDS, {}).items()}
    for built in resources[CDS].values():
        cluster = message(built)
        if cluster.type != Cluster.EDS:
            _keep_ads(cluster)
        bootstrap.static_resources.clusters.append(cluster)
    for built in resources[EDS].values():
        _as_cluster(bootstrap, message(built))
    used: set[str] = set()
    for built in resources[LDS].values():
        listener = message(built)
        used |= _inline(listener, routes, extensions)
        bootstrap.static_resources.listeners.append(listener)
    assert used == routes.keys(), f"routes that no listener asks for, or the other way round: {used ^ routes.keys()}"
    return bootstrap


def _http2() -> Any:
    from envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions

    options = HttpProtocolOptions()
    options.explicit_http_config.http2_protocol_options.SetInParent()
    return options


def _keep_ads(cluster: Cluster) -> None:
    """Envoy reads static clusters other than EDS before there is ADS, and crashes when their secrets come from it."""
    for socket in (cluster.transport_socket, *(each.transport_socket for each in cluster.transport_socket_matches)):
        context = UpstreamTlsContext()
        if socket.typed_config.Unpack(context):
            common = context.common_tls_context
            combined = common.combined_validation_context
            trusted = [combined.validation_context_sds_secret_config] if combined.ByteSize() else []
            for secret in (*common.tls_certificate_sds_secret_configs, *trusted):
                source = secret.sds_config.api_config_source
                source.api_type = source.DELTA_GRPC
                source.transport_api_version = 2
                source.grpc_services.add().envoy_grpc.cluster_name = "xds-grpc"
            socket.typed_config.Pack(context)


def _as_cluster(bootstrap: Bootstrap, assignment: ClusterLoadAssignment) -> None:
    cluster = bootstrap.static_resources.clusters.add(name=f"eds {assignment.cluster_name}")
    cluster.load_assignment.CopyFrom(assignment)
    cluster.load_assignment.cluster_name = cluster.name


def _inline(
    listener: Listener,
    routes: Mapping[str, RouteConfiguration],
    extensions: Mapping[str, TypedExtensionConfig],
) -> set[str]:
    used = set()
    for chain in listener.filter_chains:
        for each in chain.filters:
            manager = HttpConnectionManager()
            if each.typed_config.Unpack(manager) and manager.HasField("rds"):
                used.add(manager.rds.route_config_name)
                manager.route_config.CopyFrom(routes[manager.rds.route_config_name])
                for inner in manager.http_filters:
                    if inner.HasField("config_discovery"):
                        inner.typed_config.CopyFrom(extensions[inner.name].typed_config)
                each.typed_config.Pack(manager)
    return used


def validate(bootstrap: Bootstrap, directory: Path) -> None:
    """Let Envoy judge a configuration; its complaint is the failure's message."""
    file = directory / "bootstrap.pb"
    file.write_bytes(bootstrap.SerializeToString())
    done = subprocess.run(
        [ENVOY, "--mode", "validate", "--disable-hot-restart", "-l", "error", "-c", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
