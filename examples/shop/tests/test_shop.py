"""What the mesh does for the shop: a canary, retries, a fault, and who may talk to the stock."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh_lab.testing import (
    Mesh,
    TrafficClient,
    assert_all,
    assert_route_splits,
    by_json,
    peer_authentication,
    route,
    to,
    virtual_service,
)

PROJECT = Path(__file__).parents[1]
STOCK = "http://stock:8080/stock/tea"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    """The shop in a namespace of its own, and a client beside it."""
    mesh_shared.apply(PROJECT / "deploy")
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("stock", 2)
    return mesh_shared


@pytest.fixture(scope="module")
def client(shop: Mesh) -> TrafficClient:
    """What sends requests from inside the mesh."""
    return shop.client()


def test_the_canary_gets_a_tenth_of_the_requests(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(PROJECT / "mesh" / "canary.yaml"):
        written = {"v1": 90, "v2": 10}
        assert_route_splits(client, STOCK, written, version_of=by_json("$.version"), concurrency=8)


def test_the_front_passes_the_canary_on(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(PROJECT / "mesh" / "canary.yaml"):
        results = client.send("http://front/", 200, version_of=by_json("$.stock.version"), concurrency=8)
    assert_all(results)
    assert set(results.versions()) == {"v1", "v2"}


def test_a_shaky_stock_is_tried_again(shop: Mesh, client: TrafficClient) -> None:
    retries = {"attempts": 3, "retryOn": "5xx"}
    with shop.applied(virtual_service("stock", route(to("stock"), retries=retries))):
        assert_all(client.send("http://stock:8080/shaky/tea", 20, distinct_ids=True))


def test_the_front_says_so_when_the_stock_fails(shop: Mesh, client: TrafficClient) -> None:
    fault = {"abort": {"httpStatus": 500, "percentage": {"value": 100}}}
    with shop.applied(virtual_service("stock", route(to("stock"), fault=fault))):
        assert_all(client.send("http://front/", 10), status=502)


def test_the_stock_talks_to_the_mesh_only(shop: Mesh, client: TrafficClient) -> None:
    stranger = shop.deploy_client("stranger", labels={"sidecar.istio.io/inject": "false"})
    shop.ready()
    with shop.applied(peer_authentication("STRICT", "stock")):
        assert_all(client.send(STOCK, 5))
        assert {result.status for result in stranger.send(STOCK, 5)} == {0}
