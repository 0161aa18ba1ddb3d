"""Kubernetes without a mesh: what a mesh is held against. Services, their random endpoints, and names."""

from __future__ import annotations

import pytest

from mesh_lab.testing import Mesh, TrafficClient, assert_all, assert_random_baseline, eventually

pytestmark = pytest.mark.mesh_injection(False)

REPLICAS = 3


@pytest.fixture(scope="module")
def mesh_free(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", replicas=REPLICAS)
    mesh_shared.deploy_echo("headless", replicas=2, headless=True)
    mesh_shared.deploy_client()
    mesh_shared.ready()
    seen: set[str] = set()

    def all_reached() -> bool:
        seen.update(mesh_shared.client().send("http://echo", 10, new_connections=True).counts("hostname"))
        return names(mesh_shared, "echo") <= seen

    eventually(all_reached, timeout=20, why="the node's rules have all endpoints, which nobody tells")
    return mesh_shared


@pytest.fixture
def client(mesh_free: Mesh) -> TrafficClient:
    return mesh_free.client()


def names(mesh: Mesh, app: str) -> set[str]:
    return {pod["metadata"]["name"] for pod in mesh.pods(app)}


def became_ready(mesh: Mesh, app: str) -> dict[str, str]:
    """When each pod last became ready, or ceased to be."""
    return {
        pod["metadata"]["name"]: condition["lastTransitionTime"]
        for pod in mesh.pods(app)
        for condition in pod["status"]["conditions"]
        if condition["type"] == "Ready"
    }


def test_each_connection_goes_to_a_random_endpoint(mesh_free: Mesh, client: TrafficClient) -> None:
    before = became_ready(mesh_free, "echo")
    results = client.send("http://echo", 1500, new_connections=True)
    assert became_ready(mesh_free, "echo") == before, "an endpoint came or went meanwhile: nobody can tell the shares"
    assert_all(results)
    assert_random_baseline(results, names(mesh_free, "echo"))


def test_requests_on_one_connection_stay_with_its_endpoint(client: TrafficClient) -> None:
    results = client.send("http://echo", 50)
    assert_all(results)
    assert len(results.counts("hostname")) == 1


def test_nobody_vouches_for_the_client(client: TrafficClient) -> None:
    report = client.send("http://echo", show_body=True)[0].json
    assert report["client"]["identity"] is None
    assert "x-forwarded-proto" not in report["headers"]


@pytest.mark.parametrize("suffix", ["", ".{ns}", ".{ns}.svc", ".{ns}.svc.cluster.local", ".{ns}.svc.cluster.local."])
def test_a_service_is_known_by_all_its_names(mesh_free: Mesh, client: TrafficClient, suffix: str) -> None:
    assert_all(client.send(f"http://echo{suffix.format(ns=mesh_free.namespace)}"))


def test_an_unknown_name_is_not_found(client: TrafficClient) -> None:
    assert client.send("http://no-such-service")[0].error == "dns"


def test_a_headless_services_name_leads_to_its_pods(mesh_free: Mesh, client: TrafficClient) -> None:
    results = client.send("http://headless:8080", 4, new_connections=True)
    assert_all(results)
    assert set(results.counts("hostname")) == names(mesh_free, "headless")


def test_http2_and_plain_tcp_reach_a_service(client: TrafficClient) -> None:
    assert client.send("http://echo:81", http2=True)[0].protocol == "HTTP/2"
    assert client.send("tcp://echo:9000", body="good day")[0].body.endswith(" good day")


def test_a_service_without_endpoints_refuses_connections(mesh_free: Mesh, client: TrafficClient) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "nobody"},
        "spec": {"selector": {"app": "nobody"}, "ports": [{"name": "http", "port": 80}]},
    }
    mesh_free.apply(service)

    def refused() -> bool:
        return client.send("http://nobody", timeout=3)[0].error in ("refused", "unreachable", "dns")

    eventually(refused, timeout=20, why="the node's rules have the service, which nobody tells")
