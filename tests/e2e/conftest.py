"""What the modules of the end-to-end suite share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mesh_lab.client.api import Api
from mesh_lab.client.controlplane import status_of
from mesh_lab.client.istio import IstioStatus
from mesh_lab.harness.mesh import Mesh
from mesh_lab.harness.namespaces import Namespaces

from .resources import destination_rule

ROOT = Path(__file__).parents[2]
STATS_FILTER = "istio.stats"


def need_metrics(mesh: Mesh, app: str) -> None:
    """Skips on an Istio that was installed without telemetry: its proxies count nothing."""
    if isinstance(status_of(mesh.api, findings=False), IstioStatus) and STATS_FILTER not in mesh.proxy(app).admin(
        "/config_dump"
    ):
        pytest.skip(f"this Istio has telemetry off: no {STATS_FILTER} among the filters of {app}")


@pytest.fixture(scope="module")
def outside(kube: Api, namespaces: Namespaces, request: pytest.FixtureRequest) -> Iterator[Mesh]:
    """A namespace without sidecars beside the module's own."""
    name = namespaces.create(f"{request.node.path.stem}-outside", injection=False)
    yield Mesh(kube, name)
    namespaces.remove(name)


@pytest.fixture(scope="module")
def canary(shared_mesh: Mesh) -> Mesh:
    """Two versions of an echo server, each a subset of its service, and a client."""
    shared_mesh.deploy_echo("echo", ("v1", "v2"))
    shared_mesh.deploy_client()
    shared_mesh.apply(destination_rule("echo", "v1", "v2"))
    shared_mesh.ready()
    shared_mesh.wait_endpoints("echo", 2)
    return shared_mesh
