"""Routes with a Service as their parent: of the Service's own namespace for all clients, of a client's for its own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from mesh_lab.testing import (
    Mesh,
    Namespaces,
    Numbers,
    Object,
    TrafficClient,
    assert_all,
    assert_split,
    destination_rule,
    to,
    virtual_service,
)
from mesh_lab.testing import route as istio_route

from .gatewayapi import backend, of_service, path, route, rule, version_services, wait_condition

V1, V2 = backend("echo-v1"), backend("echo-v2")


@pytest.fixture(scope="module")
def shop(gateway_api: None, canary: Mesh) -> Mesh:
    canary.apply(version_services())
    for version in ("v1", "v2"):
        canary.wait_endpoints(f"echo-{version}", 1)
    return canary


@pytest.fixture(scope="module")
def neighbour(shop: Mesh, mesh_in: Callable[[str], Mesh], mesh_namespaces: Namespaces) -> Iterator[Mesh]:
    """Another namespace with a client."""
    name = mesh_namespaces.create("neighbour")
    mesh = mesh_in(name)
    mesh.deploy_client()
    mesh.ready()
    yield mesh
    mesh_namespaces.remove(name)


def for_echo(*rules: Object, name: str = "echo", **parent: object) -> Object:
    return route(name, of_service("echo", **parent), *rules)


def test_a_producers_route_is_for_all_clients(shop: Mesh, client: TrafficClient, neighbour: Mesh) -> None:
    with shop.applied(for_echo(rule(V1), rule(V2, matches=[path("/new")]))):
        wait_condition(shop, "HTTPRoute", "echo", "Accepted", ("True", "Accepted"))
        for sender in (client, neighbour.client()):
            assert_all(sender.send(f"http://echo.{shop.namespace}/", 10), version="v1")
            assert_all(sender.send(f"http://echo.{shop.namespace}/new", 10), version="v2")


def test_a_consumers_route_is_for_its_own_clients_and_comes_first(
    shop: Mesh, client: TrafficClient, neighbour: Mesh
) -> None:
    there = {"namespace": shop.namespace}
    with shop.applied(for_echo(rule(V1))):
        own = for_echo(rule({**V2, **there}), name="mine", **there)
        with neighbour.applied(own):
            assert_all(client.send(f"http://echo.{shop.namespace}/", 10), version="v1")
            assert_all(neighbour.client().send(f"http://echo.{shop.namespace}/", 10), version="v2")
        assert_all(neighbour.client().send(f"http://echo.{shop.namespace}/", 10), version="v1")


def test_a_route_may_be_for_a_service_entry(shop: Mesh, client: TrafficClient) -> None:
    ports = [{"number": 80, "name": "http", "protocol": "HTTP"}]
    entry = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"name": "news"},
        "spec": {"hosts": ["news.example"], "ports": ports, "resolution": "NONE"},
    }
    parent = {"group": "networking.istio.io", "kind": "ServiceEntry", "name": "news"}
    with shop.applied([entry, route("news", parent, rule(V2))]):
        wait_condition(shop, "HTTPRoute", "news", "Accepted", ("True", "Accepted"))
        assert_all(client.send("http://echo-v1/", 5, headers={"host": "news.example"}), version="v2")
        assert_all(client.send("http://echo-v1/", 5), version="v1")


@pytest.mark.mesh_feature("traffic/split", protocol="http1", api="httproute")
def test_a_split_in_the_mesh(shop: Mesh, client: TrafficClient, mesh_record: Numbers) -> None:
    with shop.applied(for_echo(rule({**V1, "weight": 7}, {**V2, "weight": 3}))):
        results = client.send("http://echo/", 600, concurrency=10)
    mesh_record(requests_count=len(results), v2_ratio=results.versions()["v2"] / len(results))
    assert_split(results, {"v1": 70, "v2": 30})


def test_a_route_is_for_the_port_that_it_names(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(for_echo(rule(V2), port=80)):
        assert_all(client.send("http://echo/", 10), version="v2")
        served = client.send("http://echo:81/", 60, http2=True)
    assert_all(served)
    assert len(served.versions()) == 2, "once in 2**59 runs all go to one"


@pytest.mark.parametrize("first", ["VirtualService", "HTTPRoute"])
def test_of_a_virtual_service_and_an_http_route_for_one_host_the_older_one_counts(
    shop: Mesh, client: TrafficClient, first: str
) -> None:
    istio = virtual_service("echo", istio_route(to("echo", "v1", port=80)))
    kubernetes = for_echo(rule(V2))
    older, younger = (istio, kubernetes) if first == "VirtualService" else (kubernetes, istio)
    with shop.applied([older, destination_rule("echo", "v1", "v2")]):
        time.sleep(1)  # a time of creation is in whole seconds
        with shop.applied(younger):
            assert_all(client.send("http://echo/", 10), version="v1" if first == "VirtualService" else "v2")
