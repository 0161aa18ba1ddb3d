"""A policy that is not understood as a whole never lets in more than it says, and tells what holds instead."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.model.requestauthentication import NOBODYS_KEY
from mesh_lab.controlplane.world.findings import Finding
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.xds.judging import SERVER, allowed, http_rules, tcp_allowed
from tests.unit.controlplane.xds.test_authentication import tokens
from tests.unit.controlplane.xds.translated import listener_of

GOOD = {"to": [{"operation": {"paths": ["/good"]}}]}
BAD = {"when": [{"key": "request.colour", "values": ["red"]}]}
EVERY: dict[str, Any] = {}


def policy(name: str = "p", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return config("AuthorizationPolicy", name, spec, namespace=namespace)


def reported(cluster: Cluster, kind: str = "AuthorizationPolicy", namespace: str = "default") -> tuple[Finding, ...]:
    return cluster.snapshot().invalid[(kind, namespace, "p")]


UNREAD_RULES = [
    BAD,
    {"when": [{"key": "request.headers[x]", "value": ["a"]}]},
    {"from": [{"source": {"ipBlocks": ["10.0.0"]}}]},
    {"to": [{"operation": {"path": ["/"]}}]},
    {"to": []},
    None,
    "all",
]


@pytest.mark.parametrize("rule", UNREAD_RULES)
def test_a_rule_that_is_not_understood_allows_nothing_and_the_others_hold(rule: Any) -> None:
    cluster = bookinfo().istio(policy(rules=[GOOD, rule]))
    assert allowed(cluster, path="/good")
    assert not allowed(cluster, path="/other")
    assert "fails closed: rules[1] allows nothing" in reported(cluster)[-1].message


@pytest.mark.parametrize("rule", UNREAD_RULES)
@pytest.mark.parametrize("action", ["DENY", "CUSTOM"])
def test_a_rule_that_is_not_understood_denies_everything(action: str, rule: Any) -> None:
    cluster = bookinfo().istio(policy(action=action, rules=[GOOD, rule], **provider(action)))
    assert not allowed(cluster, path="/good")
    assert not allowed(cluster, path="/other")
    assert not tcp_allowed(cluster)
    assert "fails closed: rules[1]" in reported(cluster)[-1].message


def provider(action: str) -> dict[str, Any]:
    return {"provider": {"name": "mine"}} if action == "CUSTOM" else {}


@pytest.mark.parametrize(
    "spec",
    [
        {"rules": [GOOD], "subject": "me"},
        {"rules": {"0": GOOD}},
        {"rules": [GOOD], "provider": {"name": "mine"}, "action": "ALLOW"},
        {"rules": [EVERY], "action": "ALOW"},
        {"rules": [EVERY], "action": 1},
        {"rules": [EVERY], "selector": {"matchExpressions": []}},
        {"rules": [EVERY], "selector": {"matchLabels": {"app": "*"}}},
        {"rules": [EVERY], "selector": {"matchLabels": ["app"]}},
        {"rules": [EVERY], "selector": "app=reviews"},
        {"rules": [EVERY], "selector": {"matchLabels": {"app": "reviews"}, "matchExpressions": []}},
    ],
)
@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_nothing_is_let_in_by_a_policy_of_which_more_than_a_rule_is_not_understood(
    action: str, spec: dict[str, Any]
) -> None:
    cluster = bookinfo().istio(policy(**{"action": action, **spec}))
    assert not allowed(cluster, path="/good")
    assert reported(cluster)[-1].severity == "error"


def test_what_can_be_read_of_a_selector_is_heeded() -> None:
    selector = {"matchLabels": {"app": "ratings", "version": 1}}
    cluster = bookinfo().istio(policy(action="DENY", rules=[GOOD], selector=selector))
    assert allowed(cluster, path="/good")


def test_a_policy_that_is_not_understood_does_not_concern_other_namespaces() -> None:
    assert allowed(bookinfo().istio(policy(namespace="other", action="NO", rules=[EVERY])))


def test_a_bad_update_opens_nothing_that_the_policy_closed() -> None:
    """The smallest input that was let in: a DENY policy with one attribute that is not known."""
    cluster = bookinfo().istio(policy(action="DENY", rules=[GOOD]))
    cluster.istio(policy(action="DENY", rules=[GOOD, BAD]))
    assert not allowed(cluster, path="/good")
    fresh = bookinfo().istio(policy(action="DENY", rules=[GOOD, BAD]))
    assert [rules.SerializeToString(deterministic=True) for rules in http_rules(cluster)] == [
        rules.SerializeToString(deterministic=True) for rules in http_rules(fresh)
    ]
    cluster.istio(policy(action="DENY", rules=[GOOD]))
    assert allowed(cluster, path="/other")
    assert not cluster.snapshot().invalid


def test_an_attribute_of_envoys_filters_is_understood_and_has_no_value_without_them() -> None:
    """A DENY policy of which one rule had such an attribute was dropped whole."""
    mysql = {"when": [{"key": "experimental.envoy.filters.network.mysql_proxy[db.table]", "values": ["[x]"]}]}
    cluster = bookinfo().istio(policy(action="DENY", rules=[GOOD, mysql]))
    assert not allowed(cluster, path="/good")
    assert allowed(cluster, path="/other")
    assert not cluster.snapshot().invalid


def test_custom_refuses_what_its_rules_match_and_nothing_else() -> None:
    """`action: CUSTOM` let everything in."""
    cluster = bookinfo().istio(policy(action="CUSTOM", rules=[GOOD], provider={"name": "mine"}))
    assert not allowed(cluster, path="/good")
    assert allowed(cluster, path="/other")
    (rules,) = http_rules(cluster)
    assert list(rules.policies) == ["istio-ext-authz-mine-ns[default]-policy[p]-rule[0]-deny-due-to-bad-CUSTOM-action"]


def test_custom_without_a_provider_refuses_the_same_and_is_in_error() -> None:
    cluster = bookinfo().istio(policy(action="CUSTOM", rules=[GOOD]))
    assert not allowed(cluster, path="/good")
    assert allowed(cluster, path="/other")
    assert "provider.name must not be empty" in reported(cluster)[0].message


def test_audit_lets_in_what_it_would_without_being_understood() -> None:
    assert allowed(bookinfo().istio(policy(action="AUDIT", rules=[BAD])))


def test_a_policy_for_waypoints_is_for_no_workload_here_however_it_is_written() -> None:
    refs = [{"kind": "Nothing", "name": "a", "more": 1}]
    assert allowed(bookinfo().istio(policy(action="DENY", rules=[EVERY], targetRefs=refs)))
    beside = policy(action="DENY", rules=[EVERY], targetRefs=refs, selector={"matchLabels": {"app": "reviews"}})
    assert not allowed(bookinfo().istio(beside))


def plaintext_is_refused(cluster: Cluster) -> bool:
    chains = {chain.name for chain in listener_of(cluster, "virtualInbound", SERVER).filter_chains}
    return "9080-plaintext-refused" in chains


def peers(spec: dict[str, Any], name: str = "p", created: str = "2026-01-01") -> dict[str, Any]:
    return config("PeerAuthentication", name, spec, created=created)


@pytest.mark.parametrize(
    "spec",
    [
        {"mtls": {"mode": "STRICKT"}},
        {"mtls": {"mode": "STRICT"}, "portLevelMtls": {"9080": {"mode": "STRICT"}}},
        {"mtls": "STRICT"},
        {"mtls": {"mode": "PERMISSIVE"}, "selector": {"matchLabels": {"app": "*"}}},
        {"mtls": {"mode": "STRICT"}, "selector": {"labels": {"app": "reviews"}}},
        {"selector": {"matchLabels": {"app": "reviews"}}, "portLevelMtls": {"²": {"mode": "STRICT"}}},
        [],
    ],
)
def test_a_peer_authentication_that_is_not_understood_is_strict(spec: Any) -> None:
    older = peers({"mtls": {"mode": "PERMISSIVE"}}, "older", "2025-01-01")
    cluster = bookinfo().istio(older, peers(spec))
    if isinstance(spec, dict) and "selector" in spec:
        assert plaintext_is_refused(cluster)
    assert plaintext_is_refused(bookinfo().istio(peers(spec)))
    assert "fails closed: it demands mutual TLS (STRICT)" in reported(cluster, "PeerAuthentication")[-1].message


def test_a_selector_that_cannot_be_read_comes_before_those_that_can() -> None:
    own = peers({"selector": {"matchLabels": {"app": "reviews"}}, "mtls": {"mode": "PERMISSIVE"}}, "own", "2025-01-01")
    assert not plaintext_is_refused(bookinfo().istio(own))
    assert plaintext_is_refused(bookinfo().istio(own, peers({"selector": "reviews", "mtls": {"mode": "STRICT"}})))


GOOD_TOKENS = {"issuer": "me", "jwks": '{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}'}


@pytest.mark.parametrize(
    ("rules", "kept", "words"),
    [
        ([GOOD_TOKENS, {"issuer": "you", "jwks": "no keys"}], ["", "me"], "jwtRules[1] takes no token"),
        ([GOOD_TOKENS, {"issuer": ["you"]}], ["", "me"], "jwtRules[1] takes no token"),
        ("all", [""], "it takes no token"),
    ],
)
def test_a_rule_about_tokens_that_is_not_understood_takes_none(rules: Any, kept: list[str], words: str) -> None:
    """The tokens of a rule that holds are good by that rule, and those of any other issuer by no rule."""
    cluster = bookinfo().istio(config("RequestAuthentication", "p", {"jwtRules": rules}))
    providers = tokens(cluster).providers
    assert [providers[name].issuer for name in sorted(providers)] == kept
    assert providers["origins-0"].local_jwks.inline_string == NOBODYS_KEY
    assert words in reported(cluster, "RequestAuthentication")[-1].message
