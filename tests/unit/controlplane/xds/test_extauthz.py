"""CUSTOM: rules that mark requests, and a filter that asks the provider about those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.ext_authz.v3.ext_authz_pb2 import ExtAuthz
from envoy.extensions.filters.network.ext_authz.v3.ext_authz_pb2 import ExtAuthz as NetworkExtAuthz
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message

from mesh_lab.controlplane.xds.typeurls import ECDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config, mesh_config
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.judging import SERVER, allowed, http_rules, tcp_allowed
from tests.unit.controlplane.xds.translated import listener_of, resources

FILTER = "envoy.filters.http.ext_authz"
HOST = "details.default.svc.cluster.local"
CLUSTER = f"outbound|9080||{HOST}"
RULE = {"to": [{"operation": {"paths": ["/reviews/*"]}}]}
PROVIDERS = f"""
extensionProviders:
- name: by-http
  envoyExtAuthzHttp:
    service: {HOST}
    port: 9080
    timeout: 2s
    pathPrefix: /check
    statusOnError: "503"
    failOpen: true
    includeRequestHeadersInCheck: [x-ext-authz, "x-a-*"]
    includeAdditionalHeadersInCheck: {{x-by: mesh}}
    headersToUpstreamOnAllow: [x-ok]
    headersToDownstreamOnDeny: [x-why]
    includeRequestBodyInCheck: {{maxRequestBytes: 100, allowPartialMessage: true}}
- name: by-grpc
  envoyExtAuthzGrpc: {{service: default/{HOST}, port: 9080}}
- name: nowhere
  envoyExtAuthzGrpc: {{service: nowhere.example.com, port: 9080}}
"""


def custom(provider: str, name: str = "p", **spec: Any) -> dict[str, Any]:
    rules = {"rules": [RULE], **spec}
    return config("AuthorizationPolicy", name, {"action": "CUSTOM", "provider": {"name": provider}, **rules})


def cluster(*policies: dict[str, Any]) -> Cluster:
    return bookinfo().add("ConfigMap", mesh_config(PROVIDERS)).istio(*policies)


def asked(of: Cluster) -> ExtAuthz:
    result = ExtAuthz()
    assert message(resources(of, SERVER)[ECDS][FILTER]).typed_config.Unpack(result)
    return result


def is_on(of: Cluster) -> bool:
    return FILTER in message(resources(of, SERVER)[RDS]["inbound|9080||"]).typed_per_filter_config


def test_the_rules_mark_requests_and_refuse_none() -> None:
    of = cluster(custom("by-http"))
    assert allowed(of)
    (shadow,) = http_rules(of, "shadow_rules")
    assert list(shadow.policies) == ["istio-ext-authz-by-http-ns[default]-policy[p]-rule[0]"]
    assert shadow.action == RBAC.DENY
    assert is_on(of)
    mark = asked(of).filter_enabled_metadata
    assert (mark.filter, mark.path[0].key) == (
        "envoy.filters.http.rbac",
        "istio_ext_authz_shadow_effective_policy_id",
    )
    assert mark.value.string_match.prefix == "istio-ext-authz-by-http"


def test_an_authoriser_is_asked_by_http_as_its_provider_says() -> None:
    found = asked(cluster(custom("by-http")))
    service = found.http_service
    assert (service.server_uri.cluster, service.server_uri.timeout.seconds) == (CLUSTER, 2)
    assert service.path_prefix == "/check"
    assert found.status_on_error.code == 503
    assert found.failure_mode_allow
    assert [(each.exact, each.prefix) for each in found.allowed_headers.patterns] == [("x-ext-authz", ""), ("", "x-a-")]
    assert [(each.key, each.value) for each in service.authorization_request.headers_to_add] == [("x-by", "mesh")]
    response = service.authorization_response
    assert response.allowed_upstream_headers.patterns[0].exact == "x-ok"
    assert response.allowed_client_headers.patterns[0].exact == "x-why"
    assert not response.HasField("allowed_client_headers_on_success")
    assert (found.with_request_body.max_request_bytes, found.with_request_body.allow_partial_message) == (100, True)


def test_an_authoriser_is_asked_by_grpc_about_connections_too() -> None:
    of = cluster(custom("by-grpc"))
    assert asked(of).grpc_service.envoy_grpc.cluster_name == CLUSTER
    assert asked(of).grpc_service.timeout.seconds == 600
    chains = listener_of(of, "virtualInbound", SERVER).filter_chains
    rules, asking = next(chain for chain in chains if chain.name == "virtualInbound-tls").filters[:2]
    marking, network = NetworkRBAC(), NetworkExtAuthz()
    assert rules.typed_config.Unpack(marking)
    assert asking.typed_config.Unpack(network)
    assert not marking.HasField("rules")
    assert marking.shadow_rules_stat_prefix == "istio_ext_authz_"
    assert network.grpc_service.envoy_grpc.cluster_name == CLUSTER
    assert network.filter_enabled_metadata.filter == "envoy.filters.network.rbac"


def test_about_connections_nobody_is_asked_by_http() -> None:
    of = cluster(custom("by-http"))
    chains = listener_of(of, "virtualInbound", SERVER).filter_chains
    assert len(next(chain for chain in chains if chain.name == "virtualInbound-tls").filters) == 1


def test_what_cannot_be_asked_is_refused() -> None:
    for policies in (
        [custom("missing")],
        [custom("nowhere")],
        [custom("prometheus")],
        [custom("by-http"), custom("by-grpc", name="q")],
    ):
        of = cluster(*policies)
        assert not allowed(of)
        assert allowed(of, path="/other")
        assert not tcp_allowed(of)
        assert not is_on(of)


def test_other_workloads_ask_nobody() -> None:
    of = cluster(custom("by-http", selector={"matchLabels": {"app": "ratings"}}))
    assert not is_on(of)
    assert asked(of).http_service.server_uri.cluster == "BlackHoleCluster"


def test_audit_marks_and_refuses_nothing() -> None:
    of = cluster(config("AuthorizationPolicy", "a", {"action": "AUDIT", "rules": [RULE]}))
    assert allowed(of)
    assert (
        "envoy.filters.http.rbac.audit" in message(resources(of, SERVER)[RDS]["inbound|9080||"]).typed_per_filter_config
    )
    rules = NetworkRBAC()
    chains = listener_of(of, "virtualInbound", SERVER).filter_chains
    assert next(c for c in chains if c.name == "virtualInbound-tls").filters[0].typed_config.Unpack(rules)
    assert rules.rules.action == RBAC.LOG


def test_envoy_takes_it(tmp_path: Path) -> None:
    for provider in ("by-http", "by-grpc"):
        of = cluster(custom(provider), config("AuthorizationPolicy", "a", {"action": "AUDIT", "rules": [RULE]}))
        validate(static(resources(of, SERVER)), tmp_path)
