"""Injected faults and time limits."""

from __future__ import annotations

import pytest

from lab.harness.assertions import assert_all, assert_split
from lab.harness.mesh import Mesh
from lab.harness.traffic import TrafficClient

from .resources import route, to, virtual_service


@pytest.fixture(scope="module")
def shop(shared_mesh: Mesh) -> Mesh:
    shared_mesh.deploy_echo("echo")
    shared_mesh.deploy_client()
    shared_mesh.ready()
    shared_mesh.wait_endpoints("echo", 1)
    return shared_mesh


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    return shop.client()


def test_a_delay_holds_every_request_for_its_time(shop: Mesh, client: TrafficClient) -> None:
    fault = {"delay": {"percentage": {"value": 100}, "fixedDelay": "0.3s"}}
    with shop.applied(virtual_service("echo", route(to("echo"), fault=fault))):
        results = client.send("http://echo", 10, concurrency=10)
    assert_all(results)
    assert min(result.duration_ms for result in results) >= 300
    assert min(result.duration_ms for result in client.send("http://echo", 10)) < 300


def test_a_delay_may_be_for_some_alone(shop: Mesh, client: TrafficClient) -> None:
    fault = {"delay": {"percentage": {"value": 100}, "fixedDelay": "0.5s"}}
    match = [{"headers": {"end-user": {"exact": "jason"}}}]
    with shop.applied(virtual_service("echo", route(to("echo"), match=match, fault=fault), route(to("echo")))):
        jason = client.send("http://echo", 3, concurrency=3, headers={"end-user": "jason"})
        others = client.send("http://echo", 10)
    assert min(result.duration_ms for result in jason) >= 499, "Envoy counts in whole milliseconds"
    assert min(result.duration_ms for result in others) < 500


def test_an_abort_fails_the_stated_share_of_requests(shop: Mesh, client: TrafficClient) -> None:
    server = shop.echo()
    server.reset()
    fault = {"abort": {"percentage": {"value": 30}, "httpStatus": 418}}
    with shop.applied(virtual_service("echo", route(to("echo"), fault=fault))):
        results = client.send("http://echo", 1500, concurrency=10)
    assert_split(results, {"418": 30, "200": 70}, by="status")
    assert server.counts()["total"] == len(results.with_status(200)), "what is aborted never reaches the server"


def test_an_abort_may_be_a_status_of_grpc(shop: Mesh, client: TrafficClient) -> None:
    fault = {"abort": {"percentage": {"value": 100}, "grpcStatus": "UNAVAILABLE"}}
    call = {"http2": True, "method": "POST", "headers": {"content-type": "application/grpc"}}
    with shop.applied(virtual_service("echo", route(to("echo"), fault=fault))):
        result = client.send("http://echo:81/pkg.Service/Method", show_header=["grpc-status"], **call)[0]
    assert (result.status, result.headers) == (200, {"grpc-status": "14"})


def test_an_omitted_percentage_is_none(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(virtual_service("echo", route(to("echo"), fault={"abort": {"httpStatus": 418}}))):
        assert_all(client.send("http://echo", 30))


def test_a_time_limit_ends_a_request_that_takes_longer(shop: Mesh, client: TrafficClient) -> None:
    with shop.applied(virtual_service("echo", route(to("echo"), timeout="0.3s"))):
        slow = client.send("http://echo/?delay=3", 3, concurrency=3)
        quick = client.send("http://echo", 3)
    assert_all(slow, status=504)
    assert all(300 <= result.duration_ms < 3000 for result in slow)
    assert_all(quick)
