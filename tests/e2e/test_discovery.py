"""Endpoints come and go, and the mesh follows."""

from __future__ import annotations

import pytest

from mesh_lab.testing import Items, Mesh, Reference, TrafficClient, assert_all, assert_no_errors


@pytest.fixture
def client(mesh: Mesh) -> TrafficClient:
    mesh.deploy_echo("echo")
    client = mesh.deploy_client()
    mesh.ready()
    mesh.wait_endpoints("echo", 1)
    return client


def scale(mesh: Mesh, replicas: int) -> None:
    mesh.api.patch(Reference("apps/v1", "Deployment", "echo-v1", mesh.namespace), {"spec": {"replicas": replicas}})


def wait_pods(mesh: Mesh, count: int) -> None:
    """Wait until there are so many pods of the server; those that are ending count, too."""

    def pods(items: Items) -> list[str]:
        return [name for name, pod in items.items() if pod["metadata"]["labels"].get("app") == "echo"]

    mesh.api.wait_until(
        mesh.api.path("v1", "Pod", mesh.namespace),
        lambda items: len(pods(items)) == count,
        timeout=60,
        why=f"{count} pods of the server are left",
        describe=lambda items: f"  {', '.join(pods(items))}",
    )


def test_discovery_follows_scaling_and_no_request_is_lost(mesh: Mesh, client: TrafficClient) -> None:
    with client.sending("http://echo", 40_000, rate=300, concurrency=20) as under_way:
        scale(mesh, 3)
        mesh.wait_endpoints("echo", 3)
        grown = client.send("http://echo", 200)
        scale(mesh, 1)
        mesh.wait_endpoints("echo", 1)
        shrunk = client.send("http://echo", 100)
        wait_pods(mesh, 1)
        all_along = under_way.stop()

    assert_all(grown)
    assert len(grown.counts("hostname")) == 3, "every replica is used once it is ready"
    assert_all(shrunk)
    assert len(shrunk.counts("hostname")) == 1, "no replica is used that is going"
    assert_no_errors(all_along)
