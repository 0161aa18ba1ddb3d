"""What the mesh does about servers that are slow, that fail, or that have too much to do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from mesh_lab.testing import (
    EchoControl,
    Mesh,
    Numbers,
    Object,
    Results,
    TrafficClient,
    assert_all,
    assert_ejected,
    assert_lasted,
    assert_retried,
    assert_sticky,
    destination_rule,
    eventually,
    route,
    service,
    to,
    total,
    virtual_service,
)

from .writing import CALLED, VERSIONS, Spoken, Words, cells, routed

FEW, KEYS = 10, 24
UNAVAILABLE = 14
ROUTED = ("http1 httproute", "http2 virtualservice", "http2 httproute", "grpc virtualservice", "grpc grpcroute")
PORTS = (("http", 80, 8080), ("http2", 81, 8081), ("tcp", 9000, 9000))


@pytest.fixture(scope="module")
def shop(shop: Mesh) -> Mesh:
    """The service `any` has the same pods as `echo`, for policies that are not to concern its subsets."""
    shop.apply(service("any", {"app": "echo"}, *PORTS))
    shop.wait_endpoints("any", 2)
    return shop


def to_any(spoken: Spoken) -> Spoken:
    return Spoken(spoken.url.replace("://echo", "://any"), spoken.port, spoken.options)


def ruled(**policy: Any) -> Object:
    return destination_rule("any", policy=policy)


@cells("resilience/retries", *ROUTED)
def test_what_fails_twice_is_retried_until_it_is_served(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    retried = Words(
        istio={"retries": {"attempts": 2, "retryOn": "503,unavailable"}},
        gateway={"retry": {"attempts": 2, "codes": [503]}},
    )
    with shop.applied(routed(protocol, api, retried)):
        results = spoken.send(client, FEW, headers={"x-echo-fail": "2"}, recorded=True)
    mesh_record(attempts_count=sum(each.attempts for each in results), requests_count=FEW)
    assert_retried(results, 3)


@cells("resilience/timeout", *ROUTED)
def test_a_slow_answer_is_given_up_after_its_time(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    limited = Words(istio={"timeout": "0.2s"}, gateway={"timeouts": {"request": "200ms"}})
    with shop.applied(routed(protocol, api, limited)):
        slow = spoken.send(client, FEW, concurrency=FEW, headers={"x-echo-delay": "2"})
        assert_all(spoken.send(client, FEW))
    mesh_record(slowest_ms=max(each.duration_ms for each in slow), written_ms=200)
    assert_refused(slow, protocol, 504, UNAVAILABLE)
    assert_lasted(slow, 0.2, 1.5)


@cells("faults/delay", *ROUTED)
def test_every_request_is_delayed_as_the_fault_says(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    delay = {"percentage": {"value": 100}, "fixedDelay": "0.3s"}
    with shop.applied(routed(protocol, api, Words(istio={"fault": {"delay": delay}}))):
        results = spoken.send(client, FEW, concurrency=FEW)
    mesh_record(quickest_ms=min(each.duration_ms for each in results), written_ms=300)
    assert_all(results)
    assert_lasted(results, 0.3, 2)


@cells("faults/abort", *ROUTED)
def test_every_request_is_aborted_before_it_reaches_the_server(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    how = {"grpcStatus": "UNAVAILABLE"} if protocol == "grpc" else {"httpStatus": 418}
    server = shop.echo("echo", "v1")
    server.reset()
    with shop.applied(routed(protocol, api, Words(istio={"fault": {"abort": {"percentage": {"value": 100}, **how}}}))):
        results = spoken.send(client, FEW)
    assert_refused(results, protocol, 418, UNAVAILABLE)
    assert server.counts()["total"] == 0


@pytest.fixture
def held(shop: Mesh) -> Iterator[list[EchoControl]]:
    """The servers, which let go of what they hold when the test ends."""
    servers = [shop.echo("echo", version) for version in VERSIONS]
    yield servers
    for server in servers:
        server.release()


@cells("resilience/circuit-breaking", "grpc destinationrule")
def test_calls_beyond_the_most_that_may_be_under_way_are_refused(
    shop: Mesh,
    client: TrafficClient,
    mesh_record: Numbers,
    held: list[EchoControl],
    spoken: Spoken,
    protocol: str,
    api: str,
) -> None:
    allowed, calls = 3, 10
    whole = [{"uri": {"exact": f"/{'/'.join(CALLED)}"}}]
    rewritten = virtual_service("any", route(to("any", port=81), match=whole, rewrite={"uri": "/hold"}))
    with shop.applied([ruled(connectionPool={"http": {"http2MaxRequests": allowed}}), rewritten]):
        before = overflows(shop, "any", "rq")
        with client.sending(to_any(spoken).url, calls, concurrency=calls) as many:
            refused = "the proxy refuses what is too much"
            eventually(lambda: overflows(shop, "any", "rq") - before >= calls - allowed, timeout=10, why=refused)
            eventually(lambda: sum(each.holding() for each in held) == allowed, timeout=10, why="the rest is served")
            for each in held:
                each.release()
            results = many.results()
        counted = overflows(shop, "any", "rq") - before
    mesh_record(requests_count=calls, refused_count=counted)
    assert results.counts("grpc_status") == {"0": allowed, str(UNAVAILABLE): calls - allowed}
    assert counted == calls - allowed


@cells("resilience/circuit-breaking", "tcp destinationrule")
def test_connections_beyond_the_most_that_may_be_open_are_refused(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, held: list[EchoControl], protocol: str, api: str
) -> None:
    """To the mesh the port is one of TCP; that HTTP is spoken there has the connection stay open."""
    more = 5
    shop.apply(service("open", {"app": "echo"}, ("tcp", 9001, 8080)))
    shop.wait_endpoints("open", 2)
    with shop.applied(destination_rule("open", policy={"connectionPool": {"tcp": {"maxConnections": 1}}})):
        before = overflows(shop, "open", "cx")
        with client.sending("http://open:9001/hold", 1) as first:
            eventually(lambda: sum(each.holding() for each in held) == 1, timeout=10, why="one connection is open")
            others = client.send("http://open:9001/", more)
            for each in held:
                each.release()
            assert_all(first.results())
        counted = overflows(shop, "open", "cx") - before
        eventually(lambda: client.send("http://open:9001/")[0].status == 200, timeout=5, why="there is room again")
    mesh_record(requests_count=more + 1, refused_count=counted)
    assert others.counts("outcome") == {"reset": more}
    assert counted == more


def served(results: Results) -> Results:
    return Results(each for each in results if each.status == 200 and not each.grpc_status)


def overflows(shop: Mesh, host: str, what: str) -> int:
    """How many requests (`rq`) or connections (`cx`) to a host the client's proxy has refused as too many."""
    refused = re.compile(rf"\|{host}\..*upstream_{what}_(?:.*_)?overflow$")
    stats = shop.proxy("client").stats("overflow")
    return sum(value for name, value in stats.items() if refused.search(name))


@cells("resilience/outlier-ejection", "http2 destinationrule", "grpc destinationrule")
def test_an_endpoint_that_fails_is_left_alone(
    shop: Mesh, client: TrafficClient, mesh_record: Numbers, spoken: Spoken, protocol: str, api: str
) -> None:
    detection = {"consecutive5xxErrors": 3, "interval": "0.2s", "baseEjectionTime": "120s", "maxEjectionPercent": 100}
    broken, hostname = shop.echo("echo", "v2"), shop.pod("echo", "v2")["metadata"]["name"]
    broken.answer_all_with(500)  # 503 would be retried elsewhere, as a call that is UNAVAILABLE
    try:
        with shop.applied(ruled(outlierDetection=detection)):
            before = to_any(spoken).send(client, 40)
            eventually(lambda: active(shop) == 1, timeout=5, why="Envoy's main thread tells its workers")
            after = to_any(spoken).send(client, 50)
    finally:
        broken.answer_normally()
    failed = len(before) - len(served(before))
    mesh_record(failed_before_count=failed, failed_after_count=len(after) - len(served(after)))
    assert 3 <= failed <= 6, "three in a row are enough, and what was already on its way"
    assert_all(after)
    assert_ejected(after, hostname)


def active(shop: Mesh) -> int:
    return total(shop.proxy("client").stats("ejections_active"), "any", "ejections_active")


@cells("balancing/consistent-hash", "http2 destinationrule", "grpc destinationrule")
def test_requests_that_are_alike_go_to_one_endpoint(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    results = Results()
    with shop.applied(ruled(loadBalancer={"consistentHash": {"httpHeaderName": "x-user"}})):
        for number in range(KEYS):
            asked = {"headers": {"x-user": f"user-{number}"}, "show_body": True}
            results += to_any(spoken).send(client, 3, **asked)
    assert_all(results)
    assert_sticky(results, lambda result: result.json["headers"]["x-user"])


@cells("balancing/consistent-hash", "tcp destinationrule")
def test_connections_of_one_address_go_to_one_endpoint(
    shop: Mesh, client: TrafficClient, spoken: Spoken, protocol: str, api: str
) -> None:
    with shop.applied(ruled(loadBalancer={"consistentHash": {"useSourceIp": True}})):
        results = to_any(spoken).send(client, 40)
    assert_all(results)
    assert_sticky(results, "protocol", spread=False)


def assert_refused(results: Results, protocol: str, status: int, code: int) -> None:
    """All had this status; of calls, this code of gRPC's."""
    if protocol == "grpc":
        assert_all(results, grpc_status=code)
    else:
        assert_all(results, status=status)
