"""Who may talk to whom, and how the way between them is protected, over each protocol."""

from __future__ import annotations

import pytest

from mesh_lab.testing import (
    BY_NO_RULE,
    Mesh,
    Object,
    Results,
    TrafficClient,
    assert_all,
    assert_allowed,
    assert_denied,
    assert_mutual_tls,
    assert_plaintext_refused,
    authorization_policy,
    peer_authentication,
)

from .writing import SPOKEN, Spoken, cells

FEW = 10
POLICED = ("http2 authorizationpolicy", "grpc authorizationpolicy")


@pytest.fixture(scope="module")
def shop(shop: Mesh, outside: Mesh) -> Mesh:
    """With a second client, and one without a sidecar in a namespace beside."""
    shop.deploy_client("stranger")
    outside.deploy_client("outsider")
    shop.ready()
    outside.ready()
    return shop


@pytest.fixture
def outsider(outside: Mesh) -> TrafficClient:
    return outside.client("outsider")


@pytest.fixture
def afar(shop: Mesh, spoken: Spoken) -> Spoken:
    """The same server, as another namespace calls it."""
    return spoken.elsewhere(shop.namespace)


@cells("security/mtls-strict", *(f"{protocol} peerauthentication" for protocol in ("http2", "grpc", "tcp")))
def test_a_strict_server_refuses_plaintext_and_serves_the_mesh(
    shop: Mesh, client: TrafficClient, outsider: TrafficClient, spoken: Spoken, afar: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(peer_authentication("STRICT")):
        assert_plaintext_refused(afar.send(outsider, FEW, new_connections=True))
        assert_all(spoken.send(client, FEW))


@cells("security/mtls-permissive", *(f"{protocol} peerauthentication" for protocol in SPOKEN))
def test_a_permissive_server_in_a_strict_namespace_serves_plaintext_and_the_mesh(
    shop: Mesh, client: TrafficClient, outsider: TrafficClient, spoken: Spoken, afar: Spoken, protocol: str, api: str
) -> None:
    with shop.applied([peer_authentication("STRICT"), peer_authentication("PERMISSIVE", app="echo")]):
        assert_all(afar.send(outsider, FEW, new_connections=True))
        assert_all(spoken.send(client, FEW))


@cells("security/identity", "http2 none", "grpc none")
def test_both_sides_are_known_by_their_identities(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    account = f"spiffe://cluster.local/ns/{shop.namespace}/sa"
    results = spoken.send(client, FEW, recorded=True)
    assert_mutual_tls(results, client=f"{account}/client", server=f"{account}/echo")


def from_account(shop: Mesh, account: str) -> Object:
    return {"from": [{"source": {"principals": [f"cluster.local/ns/{shop.namespace}/sa/{account}"]}}]}


@cells("security/authorization-allow", *POLICED)
def test_only_a_principal_that_a_rule_allows_may_call(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(authorization_policy("clients", "ALLOW", "echo", from_account(shop, "client"))):
        assert_allowed(spoken.send(client, FEW))
        assert_denied(spoken.send(shop.client("stranger"), FEW, recorded=True), BY_NO_RULE)


@cells("security/authorization-deny", *POLICED)
def test_a_principal_that_a_rule_denies_may_not_call_and_others_may(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(authorization_policy("no-strangers", "DENY", "echo", from_account(shop, "stranger"))):
        assert_allowed(spoken.send(client, FEW))
        denied = spoken.send(shop.client("stranger"), FEW, recorded=True)
        assert_denied(denied, f"{shop.namespace}/no-strangers")


@cells("security/authorization-deny", "tcp authorizationpolicy")
def test_a_principal_that_a_rule_denies_may_not_connect_and_others_may(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(authorization_policy("no-strangers", "DENY", "echo", from_account(shop, "stranger"))):
        assert_allowed(spoken.send(client, FEW))
        assert_cut(spoken.send(shop.client("stranger"), FEW))


def assert_cut(results: Results) -> None:
    """Every connection was closed without an answer, which is how a denial looks over TCP."""
    assert {each.outcome for each in results} == {"reset"}
