"""AuthorizationPolicy as RBAC, judged request by request with a small model of how Envoy decides."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.extensions.filters.http.rbac.v3.rbac_pb2 import RBAC as HttpRBAC  # noqa: N811 - a message
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)
from envoy.extensions.filters.network.rbac.v3.rbac_pb2 import RBAC as NetworkRBAC  # noqa: N811 - a message

from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.xds.judging import (
    FRIEND,
    SERVER,
    Request,
    allowed,
    http_rules,
    passes,
    tcp_allowed,
    tcp_rules,
)
from tests.unit.controlplane.xds.translated import listener_of


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
        (source(trustDomains=["cluster.local"]), {}, True),
        (source(trustDomains=["cluster"]), {}, False),
        (source(trustDomains=["*.local"]), {}, True),
        (source(trustDomains=["cluster*"]), {}, True),
        (source(trustDomains=["*"]), {}, True),
        (source(trustDomains=["*"]), {"principal": ""}, False),
        (source(notTrustDomains=["cluster.local"]), {}, False),
        (source(serviceAccounts=["productpage"]), {"principal": "spiffe://old/ns/default/sa/productpage"}, True),
        (source(serviceAccounts=["productpage"]), {"principal": FRIEND + "-junk"}, False),
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
        ({"when": [{"key": "request.auth.claims[group]", "notValues": ["a"]}]}, {}, True),
        ({"when": [{"key": "source.trustDomain", "values": ["cluster.local"]}]}, {}, True),
        ({"when": [{"key": "experimental.envoy.filters.a.b[c]", "values": ["d", "[e]"]}]}, {}, False),
        (source(principals=["*"]) | operation(methods=["POST"]), {}, False),
    ],
)
def test_what_a_rule_matches(rule: dict[str, Any], request_: dict[str, Any], expected: bool) -> None:
    assert allowed(bookinfo().istio(policy(rules=[rule])), **request_) is expected
    assert allowed(bookinfo().istio(policy(rules=[rule], action="DENY")), **request_) is not expected


TOKEN = {"iss": "https://issuer/a", "sub": "me", "aud": ["shop"], "groups": ["users", "admins"], "org": {"team": "red"}}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (source(requestPrincipals=["https://issuer/a/me"]), True),
        (source(requestPrincipals=["https://issuer/a/*"]), True),
        (source(requestPrincipals=["*/me"]), True),
        (source(requestPrincipals=["https://issuer/*"]), False),
        (source(requestPrincipals=["*"]), True),
        (source(notRequestPrincipals=["*"]), False),
        ({"when": [{"key": "request.auth.principal", "values": ["https://issuer/a/me"]}]}, True),
        ({"when": [{"key": "request.auth.audiences", "values": ["shop"]}]}, True),
        ({"when": [{"key": "request.auth.presenter", "values": ["shop"]}]}, False),
        ({"when": [{"key": "request.auth.claims[groups]", "values": ["adm*"]}]}, True),
        ({"when": [{"key": "request.auth.claims[groups]", "notValues": ["admins"]}]}, False),
        ({"when": [{"key": "request.auth.claims[org][team]", "values": ["red"]}]}, True),
        ({"when": [{"key": "request.auth.claims[org.team]", "values": ["red"]}]}, False),
        ({"when": [{"key": "request.auth.claims[org]", "values": ["*"]}]}, False),
    ],
)
def test_what_a_rule_matches_of_a_token(rule: dict[str, Any], expected: bool) -> None:
    assert allowed(bookinfo().istio(policy(rules=[rule])), claims=TOKEN) is expected


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


def dry(action: str, value: str, *rules: dict[str, Any], name: str = "dry") -> dict[str, Any]:
    made = policy(name, action=action, rules=list(rules), **({"provider": {"name": "p"}} if action == "CUSTOM" else {}))
    made["metadata"]["annotations"] = {"istio.io/dry-run": value}
    return made


@pytest.mark.parametrize("value", ["true", "1", "T"])
@pytest.mark.parametrize("action", ["ALLOW", "DENY", "CUSTOM"])
def test_a_dry_run_denies_nothing(action: str, value: str) -> None:
    """It was enforced: 403 instead of 200."""
    cluster = bookinfo().istio(dry(action, value, operation(paths=["/reviews/*" if action != "ALLOW" else "/other"])))
    assert allowed(cluster)
    assert tcp_allowed(cluster)


def test_a_dry_run_allows_no_more_than_the_others_do() -> None:
    cluster = bookinfo().istio(policy(rules=[operation(paths=["/good"])]), dry("ALLOW", "true", {}))
    assert not allowed(cluster)
    assert not tcp_allowed(cluster)
    assert allowed(cluster, path="/good")


@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_a_dry_run_is_counted_and_logged_by_shadow_rules(action: str) -> None:
    cluster = bookinfo().istio(dry(action, "true", {}))
    (shadow,) = http_rules(cluster, "shadow_rules")
    assert list(shadow.policies) == ["ns[default]-policy[dry]-rule[0]"]
    (shadow,) = tcp_rules(cluster, "shadow_rules")
    assert list(shadow.policies) == ["ns[default]-policy[dry]-rule[0]"]
    assert shadow_prefixes(cluster) == {
        "envoy.filters.http.rbac.custom": "istio_ext_authz_",
        "envoy.filters.http.rbac.deny": "istio_dry_run_deny_",
        "envoy.filters.http.rbac.allow": "istio_dry_run_allow_",
        "envoy.filters.network.rbac": f"istio_dry_run_{action.lower()}_",
    }


def shadow_prefixes(cluster: Cluster) -> dict[str, str]:
    """By filter. Of HTTP's it is the filter's own that counts, not the route's."""
    found = {}
    for chain in listener_of(cluster, "virtualInbound", SERVER).filter_chains:
        for each in chain.filters:
            if each.name == "envoy.filters.network.rbac":
                found[each.name] = unpacked(NetworkRBAC(), each).shadow_rules_stat_prefix
            elif each.name == "envoy.filters.network.http_connection_manager":
                for inner in unpacked(HttpConnectionManager(), each).http_filters:
                    if "rbac" in inner.name:
                        found[inner.name] = unpacked(HttpRBAC(), inner).shadow_rules_stat_prefix
    return found


def unpacked(into: Any, extension: Any) -> Any:
    assert extension.typed_config.Unpack(into)
    return into


@pytest.mark.parametrize("value", ["false", "0", "yes", ""])
def test_what_is_not_clearly_a_dry_run_is_enforced(value: str) -> None:
    cluster = bookinfo().istio(dry("DENY", value, {}))
    assert not allowed(cluster)
    unclear = [f for f in analyse(cluster.snapshot()) if "istio.io/dry-run" in f.message]
    assert bool(unclear) is (value in ("yes", ""))


def test_the_end_of_a_dry_run_is_a_change() -> None:
    cluster = bookinfo().istio(dry("DENY", "true", {}))
    assert allowed(cluster)
    assert cluster.world.apply("AuthorizationPolicy", "MODIFIED", policy("dry", action="DENY", rules=[{}]))
    assert not allowed(cluster)


def test_a_policy_changes_the_routes_and_keeps_http_chains() -> None:
    def chains(cluster: Cluster) -> dict[str, bytes]:
        found = listener_of(cluster, "virtualInbound", SERVER).filter_chains
        return {c.name: c.SerializeToString(deterministic=True) for c in found if c.name.endswith("http")}

    assert chains(bookinfo()) == chains(bookinfo().istio(policy()))
