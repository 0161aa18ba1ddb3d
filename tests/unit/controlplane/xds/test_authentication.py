"""RequestAuthentication as Envoy's filter of tokens: in an extension that is discovered, turned on by the routes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from envoy.extensions.filters.http.jwt_authn.v3.config_pb2 import JwtAuthentication, PerRouteConfig
from envoy.extensions.filters.network.http_connection_manager.v3.http_connection_manager_pb2 import (
    HttpConnectionManager,
)

from mesh_lab.controlplane.model.requestauthentication import NOBODYS_KEY
from mesh_lab.controlplane.world.snapshot import Keys, KeySource
from mesh_lab.controlplane.xds import Generator
from mesh_lab.controlplane.xds.typeurls import ECDS, LDS, RDS
from tests.unit.controlplane.cluster import Cluster, bookinfo, config
from tests.unit.controlplane.envoy import message, static, validate
from tests.unit.controlplane.xds.judging import SERVER
from tests.unit.controlplane.xds.translated import listener_of, resources

FILTER = "envoy.filters.http.jwt_authn"
KEYS = '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'
OF_ISSUER = {"issuer": "me@example.com", "jwks": KEYS}
FETCHED = {"issuer": "me@example.com", "jwksUri": "https://example.com/jwks.json"}
SOURCE = KeySource("me@example.com", "https://example.com/jwks.json")


def authentication(*rules: dict[str, Any], name: str = "a", namespace: str = "default", **spec: Any) -> dict[str, Any]:
    return config("RequestAuthentication", name, {"jwtRules": list(rules), **spec}, namespace=namespace)


def tokens(cluster: Cluster, pod: str = SERVER) -> JwtAuthentication:
    """What the pod's proxy does with tokens."""
    result = JwtAuthentication()
    assert message(resources(cluster, pod)[ECDS][FILTER]).typed_config.Unpack(result)
    return result


def is_on(cluster: Cluster, pod: str = SERVER) -> bool:
    """Whether the routes turn the filter on, by a requirement that its configuration has."""
    found = message(resources(cluster, pod)[RDS]["inbound|9080||"]).typed_per_filter_config
    if FILTER not in found:
        return False
    route = PerRouteConfig()
    assert found[FILTER].Unpack(route)
    assert route.requirement_name in tokens(cluster, pod).requirement_map
    return True


def test_without_a_policy_no_route_looks_at_tokens() -> None:
    assert not is_on(bookinfo())
    assert not tokens(bookinfo()).providers


@pytest.mark.parametrize(
    ("namespace", "selector", "concerned"),
    [
        ("default", None, True),
        ("default", {"app": "reviews"}, True),
        ("default", {"app": "ratings"}, False),
        ("other", None, False),
        ("istio-system", None, True),
    ],
)
def test_which_workloads_a_policy_concerns(namespace: str, selector: dict[str, str] | None, concerned: bool) -> None:
    spec = {"selector": {"matchLabels": selector}} if selector else {}
    cluster = bookinfo().istio(authentication(OF_ISSUER, namespace=namespace, **spec))
    assert is_on(cluster) is concerned
    assert bool(tokens(cluster).providers) is concerned


def test_a_policy_with_targets_is_for_no_workload() -> None:
    target = {"group": "", "kind": "Service", "name": "reviews"}
    assert not is_on(bookinfo().istio(authentication(OF_ISSUER, targetRefs=[target])))


def test_all_that_a_rule_says_of_tokens() -> None:
    rule = {
        **OF_ISSUER,
        "audiences": ["shop"],
        "fromHeaders": [{"name": "x-token", "prefix": "Token "}],
        "fromParams": ["token"],
        "fromCookies": ["session"],
        "outputPayloadToHeader": "x-payload",
        "outputClaimToHeaders": [{"header": "x-group", "claim": "org.group"}],
        "forwardOriginalToken": True,
        "spaceDelimitedClaims": ["roles"],
    }
    provider = tokens(bookinfo().istio(authentication(rule))).providers["origins-0"]
    assert (provider.issuer, list(provider.audiences)) == ("me@example.com", ["shop"])
    assert [(each.name, each.value_prefix) for each in provider.from_headers] == [("x-token", "Token ")]
    assert (list(provider.from_params), list(provider.from_cookies)) == (["token"], ["session"])
    assert (provider.forward, provider.forward_payload_header) == (True, "x-payload")
    assert [(each.header_name, each.claim_name) for each in provider.claim_to_headers] == [("x-group", "org.group")]
    assert provider.local_jwks.inline_string == KEYS
    assert provider.payload_in_metadata == "payload"
    claims = provider.normalize_payload_in_metadata.space_delimited_claims
    assert list(claims) == ["permission", "roles", "scope"]
    assert not provider.clear_route_cache


def test_a_token_has_to_be_good_and_none_is_required() -> None:
    (rule,) = tokens(bookinfo().istio(authentication(OF_ISSUER))).rules
    alternatives = rule.requires.requires_any.requirements
    assert [each.WhichOneof("requires_type") for each in alternatives] == ["provider_name", "allow_missing"]


def test_rules_of_all_policies_hold_together_in_the_order_of_their_issuers() -> None:
    cluster = bookinfo().istio(
        authentication({**OF_ISSUER, "issuer": "b"}),
        authentication({**OF_ISSUER, "issuer": "a"}, name="b", namespace="istio-system"),
    )
    found = tokens(cluster)
    assert [found.providers[name].issuer for name in ("origins-0", "origins-1")] == ["a", "b"]
    alternatives = found.rules[0].requires.requires_any.requirements
    assert [each.provider_name for each in alternatives] == ["origins-0", "origins-1", ""]
    assert len(alternatives[2].requires_all.requirements) == 2


def test_keys_that_are_not_there_yet_leave_no_token_good_and_come_by_themselves() -> None:
    cluster = bookinfo().istio(authentication(FETCHED))
    generator, proxy = Generator(), cluster.proxy(SERVER)
    before = generator.generate(cluster.snapshot(), proxy)
    assert tokens(cluster).providers["origins-0"].local_jwks.inline_string == NOBODYS_KEY
    cluster.world.set_keys(SOURCE, Keys(problem="it is down"))
    assert tokens(cluster).providers["origins-0"].local_jwks.inline_string == NOBODYS_KEY
    cluster.world.set_keys(SOURCE, Keys(KEYS))
    assert tokens(cluster).providers["origins-0"].local_jwks.inline_string == KEYS
    after = generator.generate(cluster.snapshot(), proxy)
    assert after[LDS]["virtualInbound"] is before[LDS]["virtualInbound"]
    assert after[RDS]["inbound|9080||"] is before[RDS]["inbound|9080||"]


def test_keys_that_were_fetched_once_stay_while_their_server_is_down() -> None:
    cluster = bookinfo().istio(authentication(FETCHED))
    cluster.world.set_keys(SOURCE, Keys(KEYS, "it is down"))
    assert tokens(cluster).providers["origins-0"].local_jwks.inline_string == KEYS


def test_a_policy_keeps_the_listener() -> None:
    """What it changes is in force with the next request, on connections that are there, too."""

    def inbound(cluster: Cluster) -> bytes:
        chains = listener_of(cluster, "virtualInbound", SERVER).filter_chains
        return b"".join(chain.SerializeToString(deterministic=True) for chain in chains)

    assert inbound(bookinfo()) == inbound(bookinfo().istio(authentication(OF_ISSUER)))


def test_the_filters_are_in_istios_order() -> None:
    manager = HttpConnectionManager()
    chains = listener_of(bookinfo(), "virtualInbound", SERVER).filter_chains
    assert next(chain for chain in chains if chain.name == "9080-mtls-http").filters[-1].typed_config.Unpack(manager)
    assert [each.name.removeprefix("envoy.filters.http.") for each in manager.http_filters] == [
        "rbac.custom",
        "ext_authz",
        "jwt_authn",
        "rbac.deny",
        "rbac.allow",
        "router",
    ]


def test_envoy_takes_it(tmp_path: Path) -> None:
    rule = {
        **OF_ISSUER,
        "audiences": ["shop"],
        "fromHeaders": [{"name": "x-token", "prefix": "Token "}],
        "fromCookies": ["session"],
        "outputClaimToHeaders": [{"header": "x-group", "claim": "org.group"}],
    }
    cluster = bookinfo().istio(authentication(rule, {**FETCHED, "issuer": "other"}), authentication(FETCHED, name="b"))
    assert is_on(cluster)
    validate(static(resources(cluster, SERVER)), tmp_path)
