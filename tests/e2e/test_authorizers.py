"""Authorisers outside of the proxies: asked by HTTP and by gRPC, one that is down, and one that never answers.

https://istio.io/latest/docs/tasks/security/authorization/authz-custom/
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from mesh_lab.harness.workloads import IMAGE
from mesh_lab.testing import (
    Mesh,
    Object,
    Reference,
    TrafficClient,
    assert_all,
    assert_lasted,
    authorization_policy,
    service,
)

from .pods import deployment

# The mesh's settings are everybody's.
pytestmark = pytest.mark.mesh_exclusive
SETTINGS = Reference("v1", "ConfigMap", "istio", "istio-system")
ASKED = {"to": [{"operation": {"paths": ["/asked*"]}}]}
ALLOW, DENY = {"x-ext-authz": "allow"}, {"x-ext-authz": "deny"}
TIMEOUT_SECONDS = 0.5


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Iterator[Mesh]:
    """A server, a client, and authorisers: `asked-by-http`, `asked-by-grpc`, `silent`, `lenient` and `away`."""
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    mesh_shared.deploy_echo("silent")
    authorizer = {
        "name": "main",
        "image": IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": ["mesh-lab-app", "ext-authz"],
    }
    mesh_shared.apply(
        [
            service("authorizer", {"app": "authorizer"}, ("http", 8000, 8000), ("grpc", 9000, 9000)),
            service("away", {"app": "away"}, ("http", 8000, 8000)),
            deployment("authorizer", authorizer),
        ]
    )
    mesh_shared.ready()
    for name in ("echo", "silent", "authorizer"):
        mesh_shared.wait_endpoints(name, 1)
    stored = mesh_shared.api.get(SETTINGS)["data"]["mesh"]
    settings = msgspec.yaml.decode(stored)
    added = [*settings.get("extensionProviders", []), *_providers(mesh_shared)]
    _set(mesh_shared, msgspec.yaml.encode({**settings, "extensionProviders": added}).decode())
    yield mesh_shared
    _set(mesh_shared, stored)


def _providers(mesh: Mesh) -> list[Object]:
    def host(name: str) -> str:
        return f"{name}.{mesh.namespace}.svc.cluster.local"

    # The echo server holds what comes to /hold for as long as nobody releases it.
    holding = {"service": host("silent"), "port": 80, "pathPrefix": "/hold?of=", "timeout": f"{TIMEOUT_SECONDS}s"}
    by_http = {"service": host("authorizer"), "port": 8000, "includeRequestHeadersInCheck": ["x-ext-authz"]}
    return [
        {"name": "asked-by-http", "envoyExtAuthzHttp": by_http},
        {"name": "asked-by-grpc", "envoyExtAuthzGrpc": {"service": host("authorizer"), "port": 9000}},
        {"name": "silent", "envoyExtAuthzHttp": {**holding, "statusOnError": "503"}},
        {"name": "lenient", "envoyExtAuthzHttp": {**holding, "failOpen": True}},
        {"name": "away", "envoyExtAuthzHttp": {"service": host("away"), "port": 8000}},
    ]


def _set(mesh: Mesh, settings: str) -> None:
    mesh.api.patch(SETTINGS, {"data": {"mesh": settings}})
    mesh.wait_live(SETTINGS)


def asking(provider: str) -> Object:
    policy = authorization_policy("ask", "CUSTOM", "echo", ASKED)
    policy["spec"]["provider"] = {"name": provider}
    return policy


@pytest.mark.parametrize("provider", ["asked-by-http", "asked-by-grpc"])
def test_an_authoriser_decides_about_what_the_rules_match(shop: Mesh, client: TrafficClient, provider: str) -> None:
    with shop.applied(asking(provider)):
        allowed = client.send("http://echo/asked", 3, headers=ALLOW)
        denied = client.send("http://echo/asked", 3, headers=DENY, show_body=True)
        assert_all(client.send("http://echo/other", 3, headers=DENY))
    assert_all(allowed)
    assert_all(denied, status=403)
    assert denied[0].body.startswith("denied by ext_authz")


def test_a_denial_of_the_mesh_holds_whatever_the_authoriser_says(shop: Mesh, client: TrafficClient) -> None:
    no_posts = authorization_policy("no-posts", "DENY", "echo", {"to": [{"operation": {"methods": ["POST"]}}]})
    with shop.applied([asking("asked-by-http"), no_posts]):
        assert_all(client.send("http://echo/asked", headers=ALLOW))
        assert_all(client.send("http://echo/asked", headers=ALLOW, method="POST"), status=403)


def test_one_that_never_answers_lets_nobody_in_and_holds_up_nobody_else(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(asking("silent")):
        refused = client.send("http://echo/asked", 5, concurrency=5)
        others = client.send("http://echo/other", 20)
    assert_all(refused, status=503)
    assert_lasted(refused, TIMEOUT_SECONDS, 10 * TIMEOUT_SECONDS)
    assert_all(others)
    assert_lasted(others, 0, TIMEOUT_SECONDS)


def test_one_that_never_answers_lets_in_where_that_is_asked_for(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(asking("lenient")):
        let_in = client.send("http://echo/asked", 3)
    assert_all(let_in)
    assert_lasted(let_in, TIMEOUT_SECONDS, 10 * TIMEOUT_SECONDS)


def test_one_that_is_away_lets_nobody_in(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(asking("away")):
        assert_all(client.send("http://echo/asked", 3), status=403)
        assert_all(client.send("http://echo/other", 3))
