"""Who may do what: by identity, namespace, method, path and port."""

from __future__ import annotations

import uuid

import pytest

from mesh_lab.testing import (
    Mesh,
    Object,
    Results,
    TrafficClient,
    assert_all,
    authorization_policy,
    destination_rule,
    eventually,
    total,
)

LOG_SECONDS = 15


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh, outside: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client("friend")
    mesh_shared.deploy_client("stranger")
    outside.deploy_client("outsider")
    mesh_shared.ready()
    outside.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


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


@pytest.mark.mesh_feature("security/authorization-allow", protocol="http1", api="authorizationpolicy")
def test_a_principal_may_and_others_may_not(shop: Mesh, friend: TrafficClient, stranger: TrafficClient) -> None:
    rule = {"from": [{"source": {"principals": [principal(shop, "friend")]}}]}
    with shop.applied(authorization_policy("friends", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        denied = stranger.send("http://echo", 5, show_body=True)
    assert_all(denied, status=403)
    assert denied[0].body == "RBAC: access denied"


def test_a_namespace_may_and_plaintext_from_elsewhere_may_not(shop: Mesh, outside: Mesh, friend: TrafficClient) -> None:
    rule = {"from": [{"source": {"namespaces": [shop.namespace]}}]}
    with shop.applied(authorization_policy("neighbours", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        assert_all(outside.client("outsider").send(f"http://echo.{shop.namespace}", 5), status=403)


def test_methods_paths_and_ports_are_told_apart(shop: Mesh, friend: TrafficClient) -> None:
    rule = {"to": [{"operation": {"methods": ["GET"], "paths": ["/public/*"], "ports": ["8080"]}}]}
    with shop.applied(authorization_policy("public", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo/public/page"))
        assert_all(friend.send("http://echo/private/page"), status=403)
        assert_all(friend.send("http://echo/public/page", method="POST"), status=403)
        assert_all(friend.send("http://echo:81/public/page", http2=True), status=403)


# What a rule says of requests, one that it is about, and one that only looks like it.
RULES: dict[str, tuple[Object, Object, Object]] = {
    "path template": (
        {"to": [{"operation": {"paths": ["/users/{*}/cart/{**}"]}}]},
        {"path": "/users/7/cart/a/b"},
        {"path": "/users/7/8/cart/a"},
    ),
    "other paths": ({"to": [{"operation": {"notPaths": ["/admin*"]}}]}, {"path": "/page"}, {"path": "/administer"}),
    "other methods": ({"to": [{"operation": {"notMethods": ["DELETE"]}}]}, {}, {"method": "DELETE"}),
    "host": (
        {"to": [{"operation": {"hosts": ["Echo.*"]}}]},
        {"headers": {"host": "echo.elsewhere"}},
        {"headers": {"host": "echo"}},
    ),
    "header": (
        {"when": [{"key": "request.headers[x-role]", "values": ["admin*"], "notValues": ["admin-7"]}]},
        {"headers": {"x-role": "admin-8"}},
        {"headers": {"x-role": "admin-7"}},
    ),
    "header that is there": (
        {"when": [{"key": "request.headers[x-role]", "values": ["*"]}]},
        {"headers": {"x-role": "any"}},
        {},
    ),
}


@pytest.mark.parametrize("kind", RULES)
def test_a_request_is_judged_by_its(shop: Mesh, friend: TrafficClient, kind: str) -> None:
    rule, allowed, other = RULES[kind]
    url = f"http://{shop.pod('echo')['status']['podIP']}:8080" if kind == "host" else "http://echo"

    def ask(request: Object) -> Results:
        options = dict(request)
        return friend.send(url + options.pop("path", "/"), 3, **options)

    with shop.applied(authorization_policy("judged", "ALLOW", "echo", rule)):
        assert_all(ask(allowed))
        assert_all(ask(other), status=403)
    with shop.applied(authorization_policy("judged", "DENY", "echo", rule)):
        assert_all(ask(allowed), status=403)
        assert_all(ask(other))


def test_others_than_those_named_may(shop: Mesh, friend: TrafficClient, stranger: TrafficClient) -> None:
    rule = {"from": [{"source": {"notPrincipals": [principal(shop, "stranger")]}}]}
    with shop.applied(authorization_policy("no-stranger", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        assert_all(stranger.send("http://echo", 5), status=403)


def test_an_address_may_and_others_may_not(shop: Mesh, friend: TrafficClient, stranger: TrafficClient) -> None:
    rule = {"from": [{"source": {"ipBlocks": [shop.pod("friend")["status"]["podIP"]]}}]}
    with shop.applied(authorization_policy("address", "ALLOW", "echo", rule)):
        assert_all(friend.send("http://echo", 5))
        assert_all(stranger.send("http://echo", 5), status=403)


def test_a_policy_is_for_the_pods_that_it_selects(shop: Mesh, friend: TrafficClient) -> None:
    with shop.applied(authorization_policy("others", "ALLOW", "nobody")):
        assert_all(friend.send("http://echo", 5))


@pytest.mark.mesh_feature("security/authorization-allow", protocol="tcp", api="authorizationpolicy")
def test_connections_are_judged_by_who_makes_them(
    shop: Mesh, outside: Mesh, friend: TrafficClient, stranger: TrafficClient
) -> None:
    rule = {"from": [{"source": {"principals": [principal(shop, "friend")]}}]}
    with shop.applied(authorization_policy("friends", "ALLOW", "echo", rule)):
        assert friend.send("tcp://echo:9000")[0].status == 200
        assert stranger.send("tcp://echo:9000")[0].status == 0
        assert outside.client("outsider").send(f"tcp://echo.{shop.namespace}:9000")[0].status == 0


def test_a_denial_weighs_more_than_a_permission(shop: Mesh, friend: TrafficClient) -> None:
    everybody = authorization_policy("everybody", "ALLOW", "echo", {})
    no_admin = authorization_policy("no-admin", "DENY", "echo", {"to": [{"operation": {"paths": ["/admin*"]}}]})
    with shop.applied([everybody, no_admin]):
        assert_all(friend.send("http://echo/page"))
        assert_all(friend.send("http://echo/admin/users"), status=403)


def test_a_policy_without_rules_allows_nobody(shop: Mesh, friend: TrafficClient) -> None:
    with shop.applied(authorization_policy("nobody", "ALLOW", "echo")):
        assert_all(friend.send("http://echo", 5), status=403)
    assert_all(friend.send("http://echo", 5))


# The action of a dry run, and a rule by which it would deny the page.
DRY_RUNS = [("DENY", {}), ("ALLOW", {"to": [{"operation": {"paths": ["/other"]}}]})]


@pytest.mark.parametrize(("action", "rule"), DRY_RUNS)
def test_a_dry_run_denies_nobody_and_is_counted(shop: Mesh, friend: TrafficClient, action: str, rule: Object) -> None:
    policy = authorization_policy("tried", action, "echo", rule)
    policy["metadata"]["annotations"] = {"istio.io/dry-run": "true"}
    server = shop.proxy("echo")

    def counted() -> float:
        return total(server.stats("rbac"), f"istio_dry_run_{action.lower()}_", "shadow_denied")

    with shop.applied(policy):
        before = counted()
        assert_all(friend.send("http://echo/page", 5))
        assert friend.send("tcp://echo:9000")[0].status == 200
        assert counted() - before == 6


def test_what_an_audit_marks_can_be_logged_and_nothing_else(shop: Mesh, friend: TrafficClient) -> None:
    audit = authorization_policy("audit", "AUDIT", "echo", {"to": [{"operation": {"paths": ["/marked*"]}}]})
    marked = "metadata.filter_metadata['envoy.common']['access_log_hint'] == true"
    logs = {
        "apiVersion": "telemetry.istio.io/v1",
        "kind": "Telemetry",
        "metadata": {"name": "audited"},
        "spec": {
            "selector": {"matchLabels": {"app": "echo"}},
            "accessLogging": [{"providers": [{"name": "envoy"}], "filter": {"expression": marked}}],
        },
    }
    # A connection keeps the log that its listener had when it was opened: each request has one of its own.
    single = destination_rule("echo", policy={"connectionPool": {"http": {"maxRequestsPerConnection": 1}}})
    name = shop.pod("echo")["metadata"]["name"]

    def logged() -> list[str]:
        """What is logged of two requests, the second of them marked. Envoy writes its log in order."""
        token = uuid.uuid4().hex
        assert_all(friend.send(f"http://echo/other/{token}"))
        assert_all(friend.send(f"http://echo/marked/{token}"))

        def lines() -> list[str]:
            found = [line for line in shop.logs(name, "istio-proxy").splitlines() if token in line]
            return found if any("/marked/" in line for line in found) else []

        return eventually(lines, timeout=LOG_SECONDS, why="the marked request is logged")

    with shop.applied([audit, logs, single]):
        # Envoy's workers take a listener up a moment after it was acknowledged.
        eventually(lambda: len(logged()) == 1, timeout=LOG_SECONDS, why="the marked one is logged, and no other")
        assert len(logged()) == 1


NO_ADMIN = {"to": [{"operation": {"paths": ["/admin*"]}}]}


def test_a_denial_holds_beside_a_rule_about_what_no_request_has(shop: Mesh, friend: TrafficClient) -> None:
    mysql = {"when": [{"key": "experimental.envoy.filters.network.mysql_proxy[db.table]", "values": ["[x]"]}]}
    with shop.applied(authorization_policy("no-admin", "DENY", "echo", NO_ADMIN, mysql)):
        assert_all(friend.send("http://echo/admin/users"), status=403)
        assert_all(friend.send("http://echo/page"))


def test_what_nobody_can_be_asked_about_is_refused(shop: Mesh, friend: TrafficClient) -> None:
    policy = authorization_policy("ask", "CUSTOM", "echo", NO_ADMIN)
    policy["spec"]["provider"] = {"name": "nobody"}
    with shop.applied(policy):
        assert_all(friend.send("http://echo/admin/users"), status=403)
        assert_all(friend.send("http://echo/page"))
