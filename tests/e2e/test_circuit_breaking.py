"""Circuit breakers refuse exactly what is too much; a failing endpoint is ejected, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mesh_lab.testing import (
    EchoControl,
    Mesh,
    Numbers,
    Object,
    Proxy,
    TrafficClient,
    assert_all,
    assert_ejected,
    assert_overflow,
    destination_rule,
    eventually,
    total,
)

HELD = "http://echo/hold?limit=20"
HELD_HTTP2 = "http://echo:81/hold?limit=20"


@pytest.fixture(scope="module")
def shop(mesh_shared: Mesh) -> Mesh:
    mesh_shared.deploy_echo("echo")
    mesh_shared.deploy_echo("pair", ("v1", "v2"))
    mesh_shared.deploy_client()
    mesh_shared.ready()
    mesh_shared.wait_endpoints("echo", 1)
    mesh_shared.wait_endpoints("pair", 2)
    return mesh_shared


@pytest.fixture
def server(shop: Mesh) -> Iterator[EchoControl]:
    server = shop.echo()
    yield server
    server.release()


@pytest.mark.mesh_feature("resilience/circuit-breaking", protocol="http1", api="destinationrule")
def test_exactly_what_exceeds_the_connection_and_the_queue_is_refused(
    shop: Mesh, client: TrafficClient, server: EchoControl, mesh_record: Numbers
) -> None:
    pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 1}}
    with shop.applied(destination_rule("echo", policy={"connectionPool": pool})):
        proxy = shop.proxy("client")
        before = overflows(proxy.stats("overflow"))

        def refused() -> int:
            return overflows(proxy.stats("overflow")) - before

        with client.sending(HELD) as first:
            # Only then: while the connection is being made, the request that it is for waits in the queue itself.
            eventually(lambda: server.holding() == 1, timeout=10, why="one request occupies the only slot")
            with client.sending(HELD, 9, concurrency=9, timeout=15) as others:
                eventually(lambda: refused() >= 8, timeout=10, why="the proxy refuses what is too much")
                server.release()
                eventually(lambda: server.holding() == 1, timeout=10, why="the request that waited takes the slot")
                server.release()
                results = first.results() + others.results()
        mesh_record(requests_count=len(results), refused_count=refused())
        assert_overflow(results, served=2, counted=refused())


@pytest.mark.mesh_feature("resilience/circuit-breaking", protocol="http2", api="destinationrule")
def test_exactly_what_exceeds_the_requests_under_way_is_refused(
    shop: Mesh, client: TrafficClient, server: EchoControl, mesh_record: Numbers
) -> None:
    with shop.applied(destination_rule("echo", policy={"connectionPool": {"http": {"http2MaxRequests": 3}}})):
        proxy = shop.proxy("client")
        before = overflows(proxy.stats("overflow"))

        def refused() -> int:
            return overflows(proxy.stats("overflow")) - before

        with client.sending(HELD_HTTP2, 10, concurrency=10, http2=True, timeout=15) as many:
            eventually(lambda: refused() >= 7, timeout=10, why="the proxy refuses what is too much")
            eventually(lambda: server.holding() == 3, timeout=10, why="as many as are allowed reach the server")
            server.release()
            results = many.results()
        mesh_record(requests_count=len(results), refused_count=refused())
        assert_overflow(results, served=3, counted=refused())


def overflows(stats: dict[str, int]) -> int:
    """Requests refused for want of a place in the queue, and those refused beyond the most that may be under way."""
    refused = ("upstream_rq_pending_overflow", "upstream_rq_active_overflow")
    return sum(value for name, value in stats.items() if "echo" in name and name.endswith(refused))


def test_without_a_circuit_breaker_all_are_served(client: TrafficClient, server: EchoControl) -> None:
    with client.sending(HELD, 10, concurrency=10) as many:
        eventually(lambda: server.holding() == 10, timeout=10, why="all ten reach the server at once")
        server.release()
        assert_all(many.results())


def detecting(base_ejection_time: str) -> Object:
    """Three errors in a row put an endpoint out, however many are left."""
    detection = {"consecutive5xxErrors": 3, "interval": "0.2s", "maxEjectionPercent": 100}
    policy = {"outlierDetection": {**detection, "baseEjectionTime": base_ejection_time}}
    return destination_rule("pair", policy=policy)


@pytest.fixture
def broken(shop: Mesh) -> Iterator[EchoControl]:
    """An endpoint of two that answers everything with 500."""
    endpoint = shop.echo("pair", "v2")
    endpoint.answer_all_with(500)
    yield endpoint
    endpoint.answer_normally()


def ejections(proxy: Proxy, statistic: str) -> int:
    return total(proxy.stats(statistic), "pair", statistic)


@pytest.mark.mesh_feature("resilience/outlier-ejection", protocol="http1", api="destinationrule")
def test_a_failing_endpoint_is_ejected(
    shop: Mesh, client: TrafficClient, broken: EchoControl, mesh_record: Numbers
) -> None:
    hostname = shop.pod("pair", "v2")["metadata"]["name"]
    with shop.applied(detecting("120s")):
        failing = client.send("http://pair", 40).with_status(500)
        proxy = shop.proxy("client")
        eventually(
            lambda: ejections(proxy, "ejections_active") == 1, timeout=5, why="Envoy's main thread tells its workers"
        )
        without = client.send("http://pair", 50)
    mesh_record(failed_before_count=len(failing), failed_after_count=len(without.with_status(500)))
    assert 3 <= len(failing) <= 6, "three in a row are enough, and what was already on its way"
    assert {result.hostname for result in failing} == {hostname}
    assert_all(without)
    assert_ejected(without, hostname)


@pytest.mark.mesh_feature("resilience/outlier-return", protocol="http1", api="destinationrule")
def test_an_ejected_endpoint_comes_back(shop: Mesh, client: TrafficClient, broken: EchoControl) -> None:
    with shop.applied(detecting("1s")):
        proxy = shop.proxy("client")
        before = ejections(proxy, "ejections_enforced_total")
        client.send("http://pair", 40)
        eventually(lambda: ejections(proxy, "ejections_enforced_total") > before, timeout=5, why="it is ejected")
        broken.answer_normally()
        eventually(lambda: ejections(proxy, "ejections_active") == 0, timeout=15, why="an ejection ends after its time")
        healed = client.send("http://pair", 100)
    assert_all(healed)
    assert len(healed.counts("hostname")) == 2
