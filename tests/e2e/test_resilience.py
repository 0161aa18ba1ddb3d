"""The mesh while parts of it come and go. These tests take the control plane away from everybody: one at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from mesh_lab.testing import (
    ApiError,
    Mesh,
    Object,
    Reference,
    TrafficClient,
    assert_all,
    assert_no_errors,
    authorization_policy,
    destination_rule,
    eventually,
    route,
    to,
    virtual_service,
)

pytestmark = pytest.mark.mesh_exclusive
SYSTEM = "istio-system"
ISTIOD = Reference("apps/v1", "Deployment", "istiod", SYSTEM)
LIFE_SECONDS = 5
"""Half of it is what a busy machine has to renew a certificate before it ends."""
RECONNECT_SECONDS = 60
"""Proxies that found no control plane try again at growing intervals: Envoy's longest is 30 s."""
WEBHOOK_FAILED = 500


@pytest.fixture
def client(canary: Mesh) -> TrafficClient:
    return canary.client()


@pytest.fixture(scope="module")
def system(mesh_in: Callable[[str], Mesh]) -> Mesh:
    return mesh_in(SYSTEM)


def test_traffic_flows_while_the_control_plane_is_killed_and_it_catches_up(
    canary: Mesh, system: Mesh, client: TrafficClient
) -> None:
    killed = system.pod("istiod")["metadata"]["name"]
    with client.sending("http://echo", 20_000, rate=200, concurrency=10) as under_way:
        canary.api.delete(Reference("v1", "Pod", killed, SYSTEM), grace=0)
        change = virtual_service("echo", route(to("echo", "v2")))
        (ref,) = eventually(lambda: _taken(canary, change), timeout=60, why="the change is taken")
        try:
            canary.wait_live(ref, timeout=RECONNECT_SECONDS)
            assert system.pod("istiod")["metadata"]["name"] != killed
            assert_all(client.send("http://echo", 50), version="v2")
        finally:
            canary.remove([ref])
            canary.wait_gone(ref)
        assert_no_errors(under_way.stop())


def test_a_bad_update_is_refused_and_the_policy_before_it_holds_when_the_control_plane_restarts(
    canary: Mesh, client: TrafficClient
) -> None:
    posts = {"to": [{"operation": {"methods": ["POST"]}}]}
    unclear = {"to": [{"operation": {"methods": ["POST"], "paths": ["/a/{*}x"]}}]}
    with canary.applied(authorization_policy("no-posts", "DENY", "echo", posts)) as (ref,):
        bad = json.dumps(authorization_policy("no-posts", "DENY", "echo", unclear, posts))
        for how in ((), ("--dry-run=server",)):
            done = canary.api.try_kubectl("-n", canary.namespace, "apply", *how, "-f", "-", stdin=bad)
            assert done.returncode == 1
            assert "denied the request: configuration is invalid: " in done.stderr
            assert '"/a/{*}x"' in done.stderr
        canary.api.kubectl("-n", SYSTEM, "rollout", "restart", "deployment/istiod")
        canary.api.kubectl("-n", SYSTEM, "rollout", "status", "deployment/istiod", "--timeout=30s")
        canary.wait_live(ref, timeout=RECONNECT_SECONDS)
        assert_all(client.send("http://echo", 5, method="POST"), status=403)
        assert_all(client.send("http://echo", 5))


def _taken(canary: Mesh, change: Object) -> list[Reference]:
    """The change, once it is stored: Istio's webhook has to agree, so nothing is for as long as no istiod serves it."""
    try:
        return canary.apply(change)
    except ApiError as error:
        if error.code != WEBHOOK_FAILED:
            raise
        return []


@pytest.fixture
def short_lives(canary: Mesh, system: Mesh) -> Iterator[None]:
    """Certificates that live for a few seconds, until the test ends."""
    before = canary.api.get(ISTIOD)["spec"]["template"]["spec"]["containers"]
    variable = {"name": "DEFAULT_WORKLOAD_CERT_TTL", "value": f"{LIFE_SECONDS}s"}
    changed = [{**container, "env": [*container.get("env", []), variable]} for container in before]
    _restart(system, changed)
    yield
    _restart(system, before)


def _restart(system: Mesh, containers: list[Object]) -> None:
    system.api.patch(ISTIOD, {"spec": {"template": {"spec": {"containers": containers}}}})
    system.ready()


@pytest.mark.mesh_clusters("embedded")
def test_certificates_are_renewed_under_load_and_no_request_is_lost(
    canary: Mesh, client: TrafficClient, short_lives: None
) -> None:
    # One request a connection: each shows the certificate of its moment.
    pool = {"connectionPool": {"http": {"maxRequestsPerConnection": 1}}}
    with canary.applied(destination_rule("echo", "v1", "v2", policy=pool)):
        _wait_for_short_certificate(canary, client)
        results = client.send("http://echo", 540, rate=60, concurrency=10, show_body=True)
    canary.apply(destination_rule("echo", "v1", "v2"))
    assert_no_errors(results)
    shown = {result.json["client"]["xfcc"][-1]["Hash"] for result in results}
    assert len(shown) >= 3, f"in 9 s certificates of {LIFE_SECONDS} s are renewed at least three times: {shown}"


def _wait_for_short_certificate(canary: Mesh, client: TrafficClient) -> None:
    def shown() -> str:
        return str(client.send("http://echo", show_body=True)[0].json["client"]["xfcc"][-1]["Hash"])

    first = shown()
    eventually(lambda: shown() != first, timeout=20, why="the first certificate of a short life is issued, and renewed")
