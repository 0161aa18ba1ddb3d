"""ServiceEntries whose endpoints are workloads: pods and WorkloadEntries that a selector names."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, TrafficClient, assert_all, assert_identity

HOST = "catalog.example"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo", ("v1", "v2"))
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 2)
    return mesh_shared


def resource(kind: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def entry(**labels: str) -> Object:
    """A host of the mesh whose endpoints are the workloads with these labels, whatever they are."""
    return resource(
        "ServiceEntry",
        "catalog",
        hosts=[HOST],
        addresses=["240.240.7.7"],
        location="MESH_INTERNAL",
        resolution="STATIC",
        ports=[{"number": 80, "name": "http", "protocol": "HTTP", "targetPort": 8080}],
        workloadSelector={"labels": labels},
    )


def by_hand(shop: Mesh, version: str, **labels: str) -> Object:
    """A WorkloadEntry for what is in truth a pod, as a machine outside of Kubernetes would be written down."""
    pod = shop.pod("echo", version)
    account = f"{shop.namespace}/echo"
    return resource(
        "WorkloadEntry",
        f"machine-{version}",
        address=pod["status"]["podIP"],
        labels={"security.istio.io/tlsMode": "istio", **labels},
        serviceAccount=account.partition("/")[2],
    )


def send(client: TrafficClient, count: int = 20) -> Any:
    return client.send("http://240.240.7.7/", count, headers={"host": HOST}, show_body=True)


def test_its_endpoints_are_the_pods_that_it_selects(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(entry(app="echo", version="v2")):
        assert_all(send(client), version="v2")


def test_its_endpoints_are_the_workload_entries_that_it_selects_with_their_identity(
    shop: Mesh, client: TrafficClient
) -> None:
    with shop.applied([entry(app="machines"), by_hand(shop, "v1", app="machines")]):
        results = send(client)
        assert_all(results, version="v1")
        assert_identity(results[0], f"spiffe://cluster.local/ns/{shop.namespace}/sa/client")


def test_a_workload_entry_that_comes_and_goes_is_followed(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied([entry(app="machines"), by_hand(shop, "v1", app="machines")]):
        with shop.applied(by_hand(shop, "v2", app="machines")):
            assert set(send(client, 40).versions()) == {"v1", "v2"}
        assert_all(send(client), version="v1")


def test_a_selector_that_names_nobody_leaves_no_endpoint(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(entry(app="nobody")):
        assert_all(send(client, 3), status=503)
