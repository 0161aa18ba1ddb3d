"""Names that are looked up for each request or connection: `DYNAMIC_DNS` of a ServiceEntry, by Envoy's forward proxy.

A request's name is its host, that of a TLS connection its server name (SNI), which its client may choose at will among
those that the entry's wildcard covers. Only sidecars do so, as in Istio 1.30:
https://istio.io/latest/docs/reference/config/networking/service-entry/#ServiceEntry-Resolution
https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/dynamic_forward_proxy_filter
"""

from __future__ import annotations

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.listener.v3.listener_components_pb2 import Filter
from envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2 import ClusterConfig
from envoy.extensions.common.dynamic_forward_proxy.v3.dns_cache_pb2 import DnsCacheConfig
from envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2 import FilterConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import HttpFilter
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2 import (
    FilterConfig as SniFilterConfig,
)

from mesh_lab.controlplane.xds.built import any_of

# Envoy has one cache for each name, whose settings must be the same wherever it stands. One serves all entries: so one
# filter is enough for all of a listener's.
_CACHE = DnsCacheConfig(name="dynamic_dns", dns_lookup_family=Cluster.V4_ONLY)


def set_discovery(cluster: Cluster, *, verified: bool) -> None:
    """The endpoint is the name's address. `verified`: TLS is begun, and the certificate must be for that name.

    Without that, which Envoy demands unless told, a rule has decided otherwise, or there is no TLS to begin.
    """
    config = ClusterConfig(dns_cache_config=_CACHE, allow_insecure_cluster_options=not verified)
    cluster.cluster_type.name = "envoy.clusters.dynamic_forward_proxy"
    cluster.cluster_type.typed_config.CopyFrom(any_of(config))
    cluster.lb_policy = Cluster.CLUSTER_PROVIDED


def by_host() -> HttpFilter:
    """Looks up the host of a request whose cluster is such a one; other requests pass it."""
    return HttpFilter(
        name="envoy.filters.http.dynamic_forward_proxy", typed_config=any_of(FilterConfig(dns_cache_config=_CACHE))
    )


def by_server_name(port: int) -> Filter:
    """Looks up a connection's server name, to be called at a port."""
    config = SniFilterConfig(dns_cache_config=_CACHE, port_value=port)
    return Filter(name="envoy.filters.network.sni_dynamic_forward_proxy", typed_config=any_of(config))
