"""Chaos does what it says, as long as it says, and no longer."""

from __future__ import annotations

import pytest

from mesh_lab.testing import Chaos, Mesh, TrafficClient, assert_no_errors

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def url(mesh: Mesh) -> str:
    url = mesh.deploy_echo("echo", ["v1", "v2"])
    mesh.deploy_client()
    mesh.ready()
    mesh.wait_endpoints("echo", 2)
    return url


@pytest.fixture
def client(mesh: Mesh, url: str) -> TrafficClient:
    return mesh.client()


@pytest.mark.mesh_clusters("embedded")
def test_a_partition_keeps_every_request_from_its_pod_and_ends_with_its_block(
    mesh: Mesh, chaos: Chaos, url: str, client: TrafficClient
) -> None:
    with chaos.partition(mesh.pod("echo", "v1"), from_=mesh.pod("client")) as fault:
        answers = client.send(url, 40, concurrency=10, timeout=1.0)
        assert set(answers.with_status(200).versions()) == {"v2"}
        assert len(answers.with_status(200)) < len(answers)
    assert fault.packets
    assert_no_errors(client.send(url, 100))
