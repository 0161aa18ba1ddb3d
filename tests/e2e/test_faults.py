"""Injected faults and time limits."""

from __future__ import annotations

from mesh_lab.testing import Mesh, TrafficClient, assert_all, assert_lasted, assert_split, route, to, virtual_service


def test_a_delay_holds_every_request_for_its_time(shop: Mesh, client: TrafficClient) -> None:
    fault = {"delay": {"percentage": {"value": 100}, "fixedDelay": "0.3s"}}
    with shop.applied(virtual_service("echo", route(to("echo"), fault=fault))):
        results = client.send("http://echo", 10, concurrency=10)
    assert_all(results)
    assert_lasted(results, 0.3, 3)
    assert min(result.duration_ms for result in client.send("http://echo", 10)) < 290


def test_a_delay_may_be_for_some_alone(shop: Mesh, client: TrafficClient) -> None:
    fault = {"delay": {"percentage": {"value": 100}, "fixedDelay": "0.5s"}}
    match = [{"headers": {"end-user": {"exact": "jason"}}}]
    with shop.applied(virtual_service("echo", route(to("echo"), match=match, fault=fault), route(to("echo")))):
        jason = client.send("http://echo", 3, concurrency=3, headers={"end-user": "jason"})
        others = client.send("http://echo", 10)
    assert_lasted(jason, 0.5, 5)
    assert min(result.duration_ms for result in others) < 490


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
    assert_lasted(slow, 0.3, 3)
    assert_all(quick)


def test_requests_that_end_early_do_not_take_others_with_them_however_many_they_are(
    shop: Mesh, client: TrafficClient
) -> None:
    # They share a connection between the sidecars, and Envoy takes one with many that were cancelled for an attack:
    # more than half of all, so nothing else may have passed before.
    shop.deploy_echo("fresh")
    shop.ready()
    shop.wait_endpoints("fresh", 1)
    patient = route(to("fresh"), match=[{"headers": {"patient": {"exact": "yes"}}}])
    with (
        shop.applied(virtual_service("fresh", patient, route(to("fresh"), timeout="0.1s"))),
        client.sending("http://fresh/?delay=3", 3, concurrency=3, headers={"patient": "yes"}, timeout=10) as held,
    ):
        hurried = client.send("http://fresh/?delay=3", 600, concurrency=50)
        waited = held.results()
    assert_all(hurried, status=504)
    assert_all(waited)
