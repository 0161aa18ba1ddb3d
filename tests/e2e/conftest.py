"""What the modules of the end-to-end suite share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh_lab.client.controlplane import status_of
from mesh_lab.client.istio import IstioStatus
from mesh_lab.testing import (
    Api,
    ApiError,
    Mesh,
    Namespaces,
    Reference,
    TrafficClient,
    destination_rule,
    eventually,
    reference,
)

from .gatewaydefinitions import definitions

ROOT = Path(__file__).parents[2]
STATS_FILTER = "istio.stats"


def pytest_configure(config: pytest.Config) -> None:
    """The markers of this suite."""
    config.addinivalue_line("markers", "kind: makes a cluster of its own with kind; skipped where that cannot be")


def need_metrics(mesh: Mesh, app: str) -> None:
    """Skips on an Istio that was installed without telemetry: its proxies count nothing."""
    if isinstance(status_of(mesh.api, findings=False), IstioStatus) and STATS_FILTER not in mesh.proxy(app).admin(
        "/config_dump"
    ):
        pytest.skip(f"this Istio has telemetry off: no {STATS_FILTER} among the filters of {app}")


@pytest.fixture(scope="module")
def outside(
    mesh_in: Callable[[str], Mesh], mesh_namespaces: Namespaces, request: pytest.FixtureRequest
) -> Iterator[Mesh]:
    """A namespace without sidecars beside the module's own."""
    name = mesh_namespaces.create(f"{request.node.path.stem}-outside", injection=False)
    yield mesh_in(name)
    mesh_namespaces.remove(name)


@pytest.fixture(scope="module")
def canary(mesh_shared: Mesh) -> Mesh:
    """Two versions of an echo server, each a subset of its service, and a client."""
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    mesh_shared.deploy_client()
    mesh_shared.apply(destination_rule("echo", "v1", "v2"))
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    """The module's namespace with one echo server and a client. A module that needs others has a `shop` of its own."""
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    return mesh_shared


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    """The client of the module's `shop`."""
    return shop.client()


@pytest.fixture(scope="session")
def gateway_api(mesh_api: Api, request: pytest.FixtureRequest) -> Iterator[None]:
    """The Gateway API's definitions: those that the cluster has, or on the lab's own cluster some for the while.

    Under pytest-xdist they stay, since another of its processes may still need them.
    """
    made = list(definitions())
    crds = [reference(each) for each in made]
    if mesh_api.find(crds[0]) is not None:
        yield
        return
    if request.config.getoption("--mesh-cluster") != "embedded":
        pytest.skip("the cluster has no Gateway API: apply the standard-install.yaml of one of its releases")
    for each in made:
        mesh_api.apply(each)
    of_the_class = Reference("gateway.networking.k8s.io/v1", "GatewayClass", "istio")

    def accepted() -> bool:
        found = mesh_api.find(of_the_class) if _is_served(mesh_api, of_the_class) else None
        return bool(found and found.get("status", {}).get("conditions"))

    eventually(accepted, timeout=30, why="istiod makes its class once the definitions are there")
    yield
    if not hasattr(request.config, "workerinput"):
        for crd in reversed(crds):
            mesh_api.delete(crd)


def _is_served(api: Api, ref: Reference) -> bool:
    try:
        api.path(ref.api_version, ref.kind)
    except (ApiError, LookupError):
        return False
    return True
