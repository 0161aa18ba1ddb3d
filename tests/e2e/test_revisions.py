"""Control planes side by side: revisions, tags of them, and a namespace that moves from one to the other.

https://istio.io/latest/docs/setup/upgrade/canary/
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from mesh_lab.testing import (
    Api,
    Mesh,
    Reference,
    TrafficClient,
    assert_all,
    assert_no_errors,
    eventually,
    peer_authentication,
    reference,
    route,
    to,
    virtual_service,
)
from tests.e2e.revisions import SYSTEM, await_injection, control_plane, injector

# The control planes are there for the whole cluster, and made of the lab's own objects.
pytestmark = [pytest.mark.mesh_exclusive, pytest.mark.mesh_clusters("embedded")]
TAG = "prod"
SECONDS = 60


@pytest.fixture
def planes(mesh_api: Api, mesh_in: Callable[[str], Mesh]) -> Iterator[Callable[[str], None]]:
    """Brings up a control plane of a revision; all that were brought up, and the tag, are gone after the test."""
    made: list[Reference] = []

    def bring_up(revision: str) -> None:
        objects = control_plane(mesh_api, revision)
        made.extend(map(reference, objects))
        for obj in objects:
            mesh_api.apply(obj)
        mesh_in(SYSTEM).ready()
        await_injection(mesh_api, f"istio-sidecar-injector-{revision}")

    yield bring_up
    made.append(
        Reference("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration", f"istio-revision-tag-{TAG}")
    )
    for ref in made:
        if mesh_api.find(ref) is not None:
            mesh_api.delete(ref)


def tag(api: Api, revision: str) -> None:
    """`istioctl tag set prod --revision REVISION --overwrite`"""
    api.apply(injector(api, revision, TAG))
    await_injection(api, f"istio-revision-tag-{TAG}")


def take(mesh: Mesh, revision: str) -> None:
    """Have the namespace's pods injected by a revision or tag from now on."""
    labels = {"istio-injection": None, "istio.io/rev": revision}
    mesh.api.patch(Reference("v1", "Namespace", mesh.namespace), {"metadata": {"labels": labels}})


def restart(mesh: Mesh) -> None:
    """`kubectl rollout restart deployment`: new pods are injected by whom the namespace asks for now."""
    mesh.api.kubectl("-n", mesh.namespace, "rollout", "restart", "deployment")
    mesh.ready()
    mesh.wait_endpoints("echo", 1)


def whose(mesh: Mesh, app: str) -> str:
    """The control plane that configures an application's proxy, as its bootstrap has it."""
    (bootstrap,) = (
        each["bootstrap"]
        for each in json.loads(mesh.proxy(app).admin("/config_dump"))["configs"]
        if "BootstrapConfigDump" in each["@type"]
    )
    static = bootstrap["static_resources"]["clusters"]
    (cluster,) = (each for each in static if each["name"] == "xds-grpc")
    (locality,) = cluster["load_assignment"]["endpoints"]
    address = locality["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["address"]
    return str(address).partition(".")[0]


def deploy(mesh: Mesh) -> TrafficClient:
    mesh.deploy_echo("echo")
    client = mesh.deploy_client()
    mesh.ready()
    mesh.wait_endpoints("echo", 1)
    return client


def test_pods_are_injected_and_configured_by_the_revision_that_their_namespace_names(
    mesh: Mesh, planes: Callable[[str], None]
) -> None:
    planes("canary")
    take(mesh, "canary")
    client = deploy(mesh)

    assert mesh.pod("echo")["metadata"]["annotations"]["istio.io/rev"] == "canary"
    assert whose(mesh, "echo") == "istiod-canary"
    # It is configured: a rule of the namespace is carried out by proxies of this revision, too.
    gone = {"match": [{"uri": {"prefix": "/gone"}}], "directResponse": {"status": 410}}
    mesh.apply(virtual_service("echo", gone, route(to("echo", port=80))))
    eventually(
        lambda: len(client.send("http://echo/gone").with_status(410)) or None,
        timeout=SECONDS,
        why="the revision's proxies carry out a VirtualService",
    )


def test_a_namespace_moves_to_another_control_plane_and_no_request_is_lost(
    mesh: Mesh, mesh_in: Callable[[str], Mesh], planes: Callable[[str], None]
) -> None:
    client = deploy(mesh)
    mesh.apply(peer_authentication("STRICT"))
    planes("canary")
    assert whose(mesh, "echo") == "istiod"

    take(mesh, "canary")
    assert whose(mesh, "echo") == "istiod", "running pods stay with whom they are"
    with client.sending("http://echo", 40_000, rate=100, concurrency=4) as under_way:
        mesh.api.kubectl("-n", mesh.namespace, "rollout", "restart", "deployment", "echo-v1")
        mesh.ready()
        mesh.wait_endpoints("echo", 1)
        mixed = client.send("http://echo", 20)
        all_along = under_way.stop()

    assert whose(mesh, "echo") == "istiod-canary"
    assert whose(mesh, "client") == "istiod"
    assert_all(mixed)
    assert_no_errors(all_along)


def test_a_tag_moves_namespaces_and_the_old_control_plane_can_go(mesh: Mesh, planes: Callable[[str], None]) -> None:
    planes("stable")
    tag(mesh.api, "stable")
    take(mesh, TAG)
    client = deploy(mesh)
    assert whose(mesh, "echo") == "istiod-stable"

    planes("next")
    tag(mesh.api, "next")
    restart(mesh)
    assert {whose(mesh, app) for app in ("echo", "client")} == {"istiod-next"}

    for obj in control_plane(mesh.api, "stable"):
        mesh.api.delete(reference(obj))
    assert_all(client.send("http://echo", 50))
    restart(mesh)
    assert whose(mesh, "echo") == "istiod-next"
    assert_all(client.send("http://echo", 50))
