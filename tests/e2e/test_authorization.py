"""Who may do what: by identity, namespace, method, path and port."""

from __future__ import annotations

import pytest

from lab.harness.assertions import assert_all
from lab.harness.mesh import Mesh
from lab.harness.traffic import TrafficClient

from .resources import authorization


@pytest.fixture(scope="module")
def shop(shared_mesh: Mesh, outside: Mesh) -> Mesh:
    shared_mesh.deploy_echo("echo")
    shared_mesh.deploy_client("friend")
    shared_mesh.deploy_client("stranger")
    outside.deploy_client("outsider")
    shared_mesh.ready()
    outside.ready()
    shared_mesh.wait_endpoints("echo", 1)
    return shared_mesh


@pytest.fixture
def friend(shop: Mesh) -> TrafficClient:
    return shop.client("friend")


@pytest.fixture
def stranger(shop: Mesh) -> TrafficClient:
    return shop.client("stranger")


def principal(mesh: Mesh, account: str) -> str:
    return f"cluster.local/ns/{mesh.namespace}/sa/{account}"


def test_without_a_policy_everybody_may(friend: TrafficClient, stranger: TrafficClient) -> None:
    assert_all(friend.send("http://echo", 5))
    assert_all(stranger.send("http://echo", 5))


def test_a_principal_may_and_others_may_not(shop: Mesh, friend: TrafficClient, stranger: TrafficClient) -> None:
    rule = {"from": [{"source": {"principals": [principal(shop, "friend")]}}]}
    with shop.applied(authorization("friends", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        denied = stranger.send("http://echo", 5, show_body=True)
    assert_all(denied, status=403)
    assert denied[0].body == "RBAC: access denied"


def test_a_namespace_may_and_plaintext_from_elsewhere_may_not(shop: Mesh, outside: Mesh, friend: TrafficClient) -> None:
    rule = {"from": [{"source": {"namespaces": [shop.namespace]}}]}
    with shop.applied(authorization("neighbours", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        assert_all(outside.client("outsider").send(f"http://echo.{shop.namespace}", 5), status=403)


def test_methods_paths_and_ports_are_told_apart(shop: Mesh, friend: TrafficClient) -> None:
    rule = {"to": [{"operation": {"methods": ["GET"], "paths": ["/public/*"], "ports": ["8080"]}}]}
    with shop.applied(authorization("public", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo/public/page"))
        assert_all(friend.send("http://echo/private/page"), status=403)
        assert_all(friend.send("http://echo/public/page", method="POST"), status=403)
        assert_all(friend.send("http://echo:81/public/page", http2=True), status=403)


def test_a_denial_weighs_more_than_a_permission(shop: Mesh, friend: TrafficClient) -> None:
    everybody = authorization("everybody", "ALLOW", "echo", {})
    no_admin = authorization("no-admin", "DENY", "echo", {"to": [{"operation": {"paths": ["/admin*"]}}]})
    with shop.applied([everybody, no_admin]):
        assert_all(friend.send("http://echo/page"))
        assert_all(friend.send("http://echo/admin/users"), status=403)


def test_a_policy_without_rules_allows_nobody(shop: Mesh, friend: TrafficClient) -> None:
    with shop.applied(authorization("nobody", "ALLOW", "echo")):
        assert_all(friend.send("http://echo", 5), status=403)
    assert_all(friend.send("http://echo", 5))
