"""AuthorizationPolicy as RBAC, judged request by request with a small model of how Envoy decides."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

import pytest
from envoy.config.rbac.v3.rbac_pb2 import RBAC
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBACPerRoute
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message

from lab.controlplane.xds import TYPE_ROUTE
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import message
from tests.unit.controlplane.xds.translated import listener_of, resources

SERVER = "reviews-v1-abc-1"
FRIEND = "spiffe://cluster.local/ns/default/sa/productpage"


@dataclass
class Request:
    """What RBAC looks at."""

    principal: str = FRIEND
    method: str = "GET"
    path: str = "/reviews/0"
    host: str = "reviews:9080"
    port: int = 9080
    ip: str = "10.244.0.9"
    headers: dict[str, str] = field(default_factory=dict)


def text(matcher: Any, value: str) -> bool:
    kind = matcher.WhichOneof("match_pattern")
    wanted = getattr(matcher, kind)
    if kind == "safe_regex":
        return re.fullmatch(wanted.regex, value) is not None
    if matcher.ignore_case:
        value, wanted = value.lower(), wanted.lower()
    return {
        "exact": value == wanted,
        "prefix": value.startswith(str(wanted)),
        "suffix": value.endswith(str(wanted)),
    }[kind]


def cidr(wanted: Any, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(
        f"{wanted.address_prefix}/{wanted.prefix_len.value}", strict=False
    )


def identifies(principal: Any, request: Request) -> bool:
    kind = principal.WhichOneof("identifier")
    value = getattr(principal, kind)
    match kind:
        case "any":
            return True
        case "and_ids":
            return all(identifies(each, request) for each in value.ids)
        case "or_ids":
            return any(identifies(each, request) for each in value.ids)
        case "not_id":
            return not identifies(value, request)
        case "authenticated":
            return bool(request.principal) and text(value.principal_name, request.principal)
        case "direct_remote_ip" | "remote_ip":
            return cidr(value, request.ip)
    raise AssertionError(kind)


def permits(permission: Any, request: Request) -> bool:
    kind = permission.WhichOneof("rule")
    value = getattr(permission, kind)
    match kind:
        case "any":
            return True
        case "and_rules":
            return all(permits(each, request) for each in value.rules)
        case "or_rules":
            return any(permits(each, request) for each in value.rules)
        case "not_rule":
            return not permits(value, request)
        case "header":
            headers = {":method": request.method, ":authority": request.host, **request.headers}
            return value.name in headers and (value.present_match or text(value.string_match, headers[value.name]))
        case "url_path":
            return text(value.path, request.path)
        case "destination_port":
            return bool(value == request.port)
    raise AssertionError(kind)


def passes(rules: RBAC, request: Request) -> bool:
    matched = any(
        any(permits(p, request) for p in policy.permissions) and any(identifies(p, request) for p in policy.principals)
        for policy in rules.policies.values()
    )
    return matched == (rules.action == RBAC.ALLOW)


def http_rules(cluster: Cluster) -> list[RBAC]:
    """In the order in which the filters ask."""
    found = message(resources(cluster, SERVER)[TYPE_ROUTE]["inbound|9080||"]).typed_per_filter_config
    rules = []
    for name in ("envoy.filters.http.rbac.deny", "envoy.filters.http.rbac.allow"):
        if name in found:
            own = RBACPerRoute()
            assert found[name].Unpack(own)
            rules.append(own.rbac.rules)
    return rules


def tcp_rules(cluster: Cluster) -> list[RBAC]:
    chain = next(
        c for c in listener_of(cluster, "virtualInbound", SERVER).filter_chains if c.name == "virtualInbound-tls"
    )
    rules = []
    for each in chain.filters[:-1]:
        found = NetworkRBAC()
        assert each.typed_config.Unpack(found)
        rules.append(found.rules)
    return rules


def allowed(cluster: Cluster, **request: Any) -> bool:
    return all(passes(rules, Request(**request)) for rules in http_rules(cluster))


def policy(name: str = "p", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return config("AuthorizationPolicy", name, spec, namespace=namespace)


def source(**fields: Any) -> dict[str, Any]:
    return {"from": [{"source": fields}]}


def operation(**fields: Any) -> dict[str, Any]:
    return {"to": [{"operation": fields}]}


SERVICE_ACCOUNT_CONDITION = {"when": [{"key": "source.serviceAccount", "values": ["productpage"]}]}


def test_without_a_policy_everything_is_allowed() -> None:
    assert http_rules(bookinfo()) == []


def test_a_policy_without_rules_allows_nothing_and_an_empty_rule_everything() -> None:
    assert not allowed(bookinfo().istio(policy()))
    assert allowed(bookinfo().istio(policy(rules=[{}])), principal="")


@pytest.mark.parametrize(
    ("rule", "request_", "expected"),
    [
        (source(principals=["cluster.local/ns/default/sa/productpage"]), {}, True),
        (source(principals=["cluster.local/ns/default/sa/product"]), {}, False),
        (source(principals=["cluster.local/ns/default/*"]), {}, True),
        (source(principals=["*/sa/productpage"]), {}, True),
        (source(principals=["*"]), {}, True),
        (source(principals=["*"]), {"principal": ""}, False),
        (source(notPrincipals=["*"]), {"principal": ""}, True),
        (source(notPrincipals=["cluster.local/ns/default/sa/productpage"]), {}, False),
        (source(namespaces=["default"]), {}, True),
        (source(namespaces=["def*"]), {}, True),
        (source(namespaces=["fault"]), {}, False),
        (source(notNamespaces=["default"]), {}, False),
        (source(namespaces=["default"]), {"principal": ""}, False),
        (source(serviceAccounts=["default/productpage"]), {}, True),
        (source(serviceAccounts=["productpage"]), {}, True),
        (source(serviceAccounts=["other/productpage"]), {}, False),
        (source(ipBlocks=["10.244.0.0/16"]), {}, True),
        (source(ipBlocks=["10.244.0.10"]), {}, False),
        (source(notIpBlocks=["10.244.0.9"]), {}, False),
        (source(requestPrincipals=["*"]), {}, False),
        (source(notRequestPrincipals=["*"]), {}, True),
        (source(namespaces=["default"], ipBlocks=["1.1.1.1"]), {}, False),
        (operation(methods=["GET", "HEAD"]), {}, True),
        (operation(notMethods=["GET"]), {}, False),
        (operation(paths=["/reviews/*"]), {}, True),
        (operation(paths=["*/0"]), {}, True),
        (operation(paths=["/reviews"]), {}, False),
        (operation(paths=["/{*}/0"]), {}, True),
        (operation(paths=["/{*}"]), {}, False),
        (operation(paths=["/{**}"]), {}, True),
        (operation(notPaths=["/admin*"]), {}, True),
        (operation(hosts=["REVIEWS:9080"]), {}, True),
        (operation(hosts=["*.example.com"]), {}, False),
        (operation(ports=["9080"]), {}, True),
        (operation(ports=["80"]), {}, False),
        (operation(notPorts=["9080"]), {}, False),
        ({"when": [{"key": "request.headers[x-user]", "values": ["jason"]}]}, {"headers": {"x-user": "jason"}}, True),
        ({"when": [{"key": "request.headers[x-user]", "values": ["jason"]}]}, {}, False),
        ({"when": [{"key": "request.headers[x-user]", "notValues": ["jason"]}]}, {}, True),
        ({"when": [{"key": "request.headers[x-user]", "values": ["*"]}]}, {"headers": {"x-user": ""}}, True),
        ({"when": [{"key": "request.headers[x-user]", "values": ["*"]}]}, {}, False),
        ({"when": [{"key": "source.ip", "notValues": ["10.0.0.0/8"]}]}, {}, False),
        ({"when": [{"key": "destination.port", "values": ["9080"]}]}, {}, True),
        ({"when": [{"key": "request.auth.claims[group]", "values": ["a"]}]}, {}, False),
        (source(principals=["*"]) | operation(methods=["POST"]), {}, False),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], request_: dict[str, Any], expected: bool) -> None:
    assert allowed(bookinfo().istio(policy(rules=[rule])), **request_) is expected
    assert allowed(bookinfo().istio(policy(rules=[rule], action="DENY")), **request_) is not expected


def test_a_denial_weighs_more_than_a_permission() -> None:
    cluster = bookinfo().istio(
        policy("allow", rules=[source(namespaces=["default"])]),
        policy("deny", action="DENY", rules=[operation(paths=["/admin"])]),
    )
    assert allowed(cluster)
    assert not allowed(cluster, path="/admin")
    assert not allowed(cluster, principal="spiffe://cluster.local/ns/other/sa/x")


@pytest.mark.parametrize(
    ("namespace", "selector", "concerned"),
    [
        ("default", None, True),
        ("default", {"app": "reviews"}, True),
        ("default", {"app": "ratings"}, False),
        ("other", None, False),
        ("istio-system", None, True),
        ("istio-system", {"app": "reviews"}, True),
        ("istio-system", {"app": "ratings"}, False),
    ],
)
def test_whom_a_policy_concerns(namespace: str, selector: dict[str, str] | None, concerned: bool) -> None:
    spec = {"selector": {"matchLabels": selector}} if selector else {}
    assert allowed(bookinfo().istio(policy(namespace=namespace, **spec))) is not concerned


@pytest.mark.parametrize("rule", [source(serviceAccounts=["productpage"]), SERVICE_ACCOUNT_CONDITION])
def test_a_service_account_without_a_namespace_is_one_of_the_policys_own(rule: dict[str, Any]) -> None:
    own = bookinfo().istio(policy(rules=[rule]))
    assert allowed(own)
    assert not allowed(own, principal="spiffe://cluster.local/ns/other/sa/productpage")
    of_the_mesh = bookinfo().istio(policy(namespace="istio-system", rules=[rule]))
    assert not allowed(of_the_mesh)
    assert allowed(of_the_mesh, principal="spiffe://cluster.local/ns/istio-system/sa/productpage")


def test_tcp_is_denied_by_a_rule_about_end_users_who_are_not_known_there() -> None:
    (rules,) = tcp_rules(bookinfo().istio(policy(action="DENY", rules=[source(requestPrincipals=["*"])])))
    assert not passes(rules, Request())


def test_tcp_is_never_allowed_by_what_only_http_can_answer_and_is_denied_by_the_rest() -> None:
    http_only = bookinfo().istio(policy(rules=[operation(methods=["GET"])]))
    (rules,) = tcp_rules(http_only)
    assert not passes(rules, Request())
    denial = bookinfo().istio(policy(action="DENY", rules=[operation(methods=["GET"], ports=["9080"])]))
    (rules,) = tcp_rules(denial)
    assert not passes(rules, Request())
    assert passes(rules, Request(port=9081))


def test_a_policy_changes_the_routes_and_leaves_http_chains_alone() -> None:
    def chains(cluster: Cluster) -> dict[str, bytes]:
        found = listener_of(cluster, "virtualInbound", SERVER).filter_chains
        return {c.name: c.SerializeToString(deterministic=True) for c in found if c.name.endswith("http")}

    assert chains(bookinfo()) == chains(bookinfo().istio(policy()))
