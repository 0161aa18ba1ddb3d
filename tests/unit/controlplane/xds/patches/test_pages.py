"""The EnvoyFilters of Istio's pages and samples, as they stand there, judged by Envoy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mesh_lab.controlplane.xds.typeurls import CDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, pod, service
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.patches.patched import http_filters, resources

GATE = ("gate-1", "istio-system", "router")
PAGE = "productpage-v1-abc-1"


def mesh() -> Cluster:
    cluster = bookinfo()
    cluster.add("Pod", pod("gate-1", "10.244.0.50", namespace="istio-system", app="gate", istio="ingressgateway"))
    cluster.add(
        "Service",
        service(
            "gate", namespace="istio-system", ip="10.96.9.9", ports=[{"name": "a", "port": 80, "targetPort": 8080}]
        ),
    )
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}
    route = {"match": [{"uri": {"exact": "/productpage"}}], "route": [{"destination": {"host": "productpage"}}]}
    return cluster.istio(
        config("Gateway", "bookinfo-gateway", {"selector": {"istio": "ingressgateway"}, "servers": [server]}),
        config("VirtualService", "bookinfo", {"hosts": ["*"], "gateways": ["bookinfo-gateway"], "http": [route]}),
    )


def of(text: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(text)
    return config("EnvoyFilter", document["metadata"]["name"], document["spec"], namespace="istio-system")


GLOBAL = of("""
metadata: {name: filter-ratelimit}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: GATEWAY
      listener:
        filterChain:
          filter:
            name: envoy.filters.network.http_connection_manager
            subFilter: {name: envoy.filters.http.router}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.ratelimit
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit
          domain: ratelimit
          failure_mode_deny: true
          timeout: 10s
          rate_limit_service:
            grpc_service:
              envoy_grpc: {cluster_name: "outbound|8081||ratings.default.svc.cluster.local"}
            transport_api_version: V3
""")
DESCRIPTORS = of("""
metadata: {name: filter-ratelimit-svc}
spec:
  workloadSelector: {labels: {istio: ingressgateway}}
  configPatches:
  - applyTo: VIRTUAL_HOST
    match: {context: GATEWAY, routeConfiguration: {vhost: {name: "", route: {action: ANY}}}}
    patch:
      operation: MERGE
      value: {rate_limits: [{actions: [{request_headers: {header_name: ":path", descriptor_key: PATH}}]}]}
""")
CLUSTER = of("""
metadata: {name: filter-cluster}
spec:
  configPatches:
  - applyTo: CLUSTER
    match: {cluster: {service: ratelimit.default.svc.cluster.local}}
    patch:
      operation: ADD
      value:
        name: rate_limit_cluster
        type: STRICT_DNS
        connect_timeout: 10s
        lb_policy: ROUND_ROBIN
        http2_protocol_options: {}
        load_assignment:
          cluster_name: rate_limit_cluster
          endpoints:
          - lb_endpoints:
            - endpoint: {address: {socket_address: {address: ratelimit.default.svc.cluster.local, port_value: 8081}}}
""")
LOCAL = of("""
metadata: {name: filter-local-ratelimit-svc}
spec:
  workloadSelector: {labels: {app: productpage}}
  configPatches:
  - applyTo: HTTP_FILTER
    match:
      context: SIDECAR_INBOUND
      listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.filters.http.local_ratelimit
        typed_config:
          "@type": type.googleapis.com/udpa.type.v1.TypedStruct
          type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
          value: {stat_prefix: http_local_rate_limiter}
  - applyTo: HTTP_ROUTE
    match:
      context: SIDECAR_INBOUND
      routeConfiguration: {vhost: {name: "inbound|http|9080", route: {action: ANY}}}
    patch:
      operation: MERGE
      value:
        route: {rate_limits: [{actions: [{remote_address: {}}]}]}
        typed_per_filter_config:
          envoy.filters.http.local_ratelimit:
            "@type": type.googleapis.com/udpa.type.v1.TypedStruct
            type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit
            value:
              stat_prefix: http_local_rate_limiter
              token_bucket: {max_tokens: 4, tokens_per_fill: 4, fill_interval: 60s}
              filter_enabled: {runtime_key: enabled, default_value: {numerator: 100, denominator: HUNDRED}}
              filter_enforced: {runtime_key: enforced, default_value: {numerator: 100, denominator: HUNDRED}}
              response_headers_to_add: [{append: false, header: {key: x-local-rate-limit, value: "true"}}]
""")


def test_a_gateway_asks_for_its_global_limits(tmp_path: Path) -> None:
    found = resources(mesh().istio(GLOBAL, DESCRIPTORS, CLUSTER), *GATE)
    listener = message(found[LDS]["0.0.0.0_8080"])
    assert [names[-2:] for names in http_filters(listener)] == [
        ["envoy.filters.http.ratelimit", "envoy.filters.http.router"]
    ]
    (host,) = message(found[RDS]["http.8080"]).virtual_hosts
    assert host.rate_limits[0].actions[0].request_headers.descriptor_key == "PATH"
    assert [each.name for each in found[LDS]["0.0.0.0_8080"].origins if each.kind == "EnvoyFilter"] == [
        "filter-ratelimit"
    ]
    assert "outbound|8081||ratings.default.svc.cluster.local" not in found[CDS]
    assert "outbound|9080||ratings.default.svc.cluster.local" in found[CDS], "a gateway has what patches name"
    assert "outbound|9080||ratings.default.svc.cluster.local" not in resources(mesh(), *GATE)[CDS]
    assert message(found[CDS]["rate_limit_cluster"]).connect_timeout.seconds == 10
    validate(static(found), tmp_path)


def test_a_server_limits_by_itself(tmp_path: Path) -> None:
    found = resources(mesh().istio(LOCAL), PAGE)
    names = http_filters(message(found[LDS]["virtualInbound"]))
    assert names
    assert all(each[0] == "envoy.filters.http.local_ratelimit" for each in names)
    route = message(found[RDS]["inbound|9080||"]).virtual_hosts[0].routes[0]
    assert route.route.cluster == "inbound|9080||"
    assert len(route.route.rate_limits) == 1
    assert "envoy.filters.http.local_ratelimit" in route.typed_per_filter_config
    assert found[LDS]["0.0.0.0_9080"].origins == resources(mesh(), PAGE)[LDS]["0.0.0.0_9080"].origins
    validate(static(found), tmp_path)


@pytest.mark.parametrize("apart", [GLOBAL, DESCRIPTORS, LOCAL])
def test_other_proxies_keep_what_they_have(apart: dict[str, Any]) -> None:
    before, after = resources(mesh()), resources(mesh().istio(apart))
    assert {url: {n: b.version for n, b in some.items()} for url, some in before.items()} == {
        url: {n: b.version for n, b in some.items()} for url, some in after.items()
    }
