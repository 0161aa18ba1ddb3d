"""DYNAMIC_DNS: names that are looked up for each request or connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.config.cluster.v3.cluster_pb2 import Cluster as ClusterMessage
from envoy.extensions.clusters.dynamic_forward_proxy.v3.cluster_pb2 import ClusterConfig
from envoy.extensions.filters.http.dynamic_forward_proxy.v3.dynamic_forward_proxy_pb2 import FilterConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.sni_dynamic_forward_proxy_pb2 import (
    FilterConfig as SniFilterConfig,
)

from mesh_lab.controlplane.xds.typeurls import CDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import static, validate
from tests.unit.controlplane.xds.translated import cluster_of, hosts_of, listener_of, resources

HTTP = {"number": 80, "name": "http", "protocol": "HTTP"}
GRPC = {"number": 90, "name": "grpc", "protocol": "GRPC"}
TLS = {"number": 443, "name": "tls", "protocol": "TLS"}
PLAIN, NAMED = "outbound|80||*.example.com", "outbound|443||*.example.com"


def looked_up(*more: dict[str, Any]) -> Cluster:
    spec = {"hosts": ["*.example.com"], "resolution": "DYNAMIC_DNS", "ports": [HTTP, GRPC, TLS]}
    return bookinfo().istio(config("ServiceEntry", "wild", spec), *more)


def rule(**policy: Any) -> dict[str, Any]:
    return config("DestinationRule", "wild", {"host": "*.example.com", **policy})


def forward_proxy(cluster: Cluster, name: str) -> ClusterConfig:
    made, config = cluster_of(cluster, name), ClusterConfig()
    assert made.lb_policy == ClusterMessage.CLUSTER_PROVIDED
    assert made.cluster_type.typed_config.Unpack(config)
    return config


def request_filters(cluster: Cluster, listener: str) -> list[Any]:
    manager = HttpConnectionManager()
    chain = next(c for c in listener_of(cluster, listener).filter_chains if c.filters[-1].typed_config.Unpack(manager))
    assert chain is not None
    return list(manager.http_filters)


def test_envoy_takes_it(tmp_path: Path) -> None:
    validate(static(resources(looked_up())), tmp_path)


def test_a_request_is_for_the_host_that_it_names() -> None:
    cluster, config = looked_up(), FilterConfig()
    assert list(hosts_of(resources(cluster), "80")["*.example.com:80"].domains) == ["*.example.com"]
    assert request_filters(cluster, "0.0.0.0_80")[0].typed_config.Unpack(config)
    assert config.dns_cache_config == forward_proxy(cluster, PLAIN).dns_cache_config


def test_no_other_port_pays_for_it() -> None:
    names = [each.name for each in request_filters(looked_up(), "0.0.0.0_9080")]
    assert "envoy.filters.http.dynamic_forward_proxy" not in names


def test_only_connections_for_names_below_are_looked_up() -> None:
    listener = listener_of(looked_up(), "0.0.0.0_443")
    (chain,) = listener.filter_chains
    assert list(chain.filter_chain_match.server_names) == ["*.example.com"]
    config = SniFilterConfig()
    assert chain.filters[0].typed_config.Unpack(config)
    assert config.port_value == 443
    assert [each.name for each in listener.default_filter_chain.filters] == ["envoy.filters.network.tcp_proxy"]
    assert "envoy.filters.listener.tls_inspector" in [each.name for each in listener.listener_filters]


def test_so_are_connections_that_a_route_leads_there() -> None:
    match = [{"port": 443, "sniHosts": ["a.example.com"]}]
    route = [{"destination": {"host": "*.example.com", "port": {"number": 443}}}]
    routed = config("VirtualService", "r", {"hosts": ["*.example.com"], "tls": [{"match": match, "route": route}]})
    (chain,) = listener_of(looked_up(routed), "0.0.0.0_443").filter_chains
    assert list(chain.filter_chain_match.server_names) == ["a.example.com"]
    assert chain.filters[0].name == "envoy.filters.network.sni_dynamic_forward_proxy"


@pytest.mark.parametrize(
    ("tls", "checked"),
    [
        ({"mode": "SIMPLE"}, True),
        ({"mode": "SIMPLE", "sni": "other.example.com"}, False),
        ({"mode": "SIMPLE", "insecureSkipVerify": True}, False),
        ({"mode": "SIMPLE", "subjectAltNames": ["other.example.com"]}, False),
        ({"mode": "DISABLE"}, False),
    ],
    ids=["its name", "another server name", "not verified", "another name", "no TLS"],
)
def test_the_certificate_must_be_for_the_name_unless_a_rule_says_otherwise(
    tmp_path: Path, tls: dict[str, Any], checked: bool
) -> None:
    cluster = looked_up(rule(trafficPolicy={"tls": tls}))
    assert forward_proxy(cluster, PLAIN).allow_insecure_cluster_options is not checked
    validate(static(resources(cluster)), tmp_path)


def test_subsets_and_the_choice_of_endpoints_have_no_part_in_it(tmp_path: Path) -> None:
    policy = {"loadBalancer": {"simple": "PASSTHROUGH"}}
    cluster = looked_up(rule(trafficPolicy=policy, subsets=[{"name": "v1", "labels": {"version": "v1"}}]))
    assert forward_proxy(cluster, PLAIN)
    assert "outbound|80|v1|*.example.com" not in resources(cluster)[CDS]
    validate(static(resources(cluster)), tmp_path)
