"""Circuit breakers refuse exactly what is too much; a failing endpoint is ejected, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab.harness.assertions import assert_all, assert_ejected, assert_overflow
from lab.harness.convergence import eventually
from lab.harness.mesh import Mesh
from lab.harness.proxies import total
from lab.harness.traffic import EchoControl, TrafficClient

from .resources import destination_rule

HELD = "http://echo/hold?limit=20"


@pytest.fixture(scope="module")
def shop(shared_mesh: Mesh) -> Mesh:
    shared_mesh.deploy_echo("echo")
    shared_mesh.deploy_echo("pair", ("v1", "v2"))
    shared_mesh.deploy_client()
    shared_mesh.ready()
    shared_mesh.wait_endpoints("echo", 1)
    shared_mesh.wait_endpoints("pair", 2)
    return shared_mesh


@pytest.fixture
def client(shop: Mesh) -> TrafficClient:
    return shop.client()


@pytest.fixture
def server(shop: Mesh) -> Iterator[EchoControl]:
    server = shop.echo()
    yield server
    server.release()


def test_exactly_what_exceeds_the_connection_and_the_queue_is_refused(
    shop: Mesh, client: TrafficClient, server: EchoControl
) -> None:
    pool = {"tcp": {"maxConnections": 1}, "http": {"http1MaxPendingRequests": 1, "http2MaxRequests": 1}}
    with shop.applied(destination_rule("echo", policy={"connectionPool": pool})):
        proxy = shop.proxy("client")
        before = overflows(proxy.stats("overflow"))

        def refused() -> int:
            return overflows(proxy.stats("overflow")) - before

        with client.sending(HELD) as first, client.sending(HELD, 9, concurrency=9, timeout=15) as others:
            eventually(lambda: server.holding() == 1, timeout=10, why="one request occupies the only slot")
            eventually(lambda: refused() >= 8, timeout=10, why="the proxy refuses what is too much")
            server.release()
            eventually(lambda: server.holding() == 1, timeout=10, why="the request that waited takes the slot")
            server.release()
            results = first.results() + others.results()
        assert_overflow(results, served=2, counted=refused())


def overflows(stats: dict[str, int]) -> int:
    return sum(v for name, v in stats.items() if "echo" in name and name.endswith("upstream_rq_pending_overflow"))


def test_without_a_circuit_breaker_all_are_served(client: TrafficClient, server: EchoControl) -> None:
    with client.sending(HELD, 10, concurrency=10) as many:
        eventually(lambda: server.holding() == 10, timeout=10, why="all ten reach the server at once")
        server.release()
        assert_all(many.results())


def test_a_failing_endpoint_is_ejected_and_comes_back(shop: Mesh, client: TrafficClient) -> None:
    broken = shop.echo("pair", "v2")
    hostname = shop.pod("pair", "v2")["metadata"]["name"]
    detection = {"consecutive5xxErrors": 3, "interval": "0.2s", "baseEjectionTime": "1s", "maxEjectionPercent": 100}
    with shop.applied(destination_rule("pair", policy={"outlierDetection": detection})):
        proxy = shop.proxy("client")

        def ejected() -> int:
            return total(proxy.stats("ejections_active"), "pair", "ejections_active")

        broken.answer_all_with(500)
        failing = client.send("http://pair", 40)
        eventually(lambda: ejected() >= 1, timeout=5, why="Envoy's main thread tells its workers of the ejection")
        without = client.send("http://pair", 50)
        broken.answer_normally()
        eventually(lambda: ejected() == 0, timeout=15, why="the ejection ends after its time")
        healed = client.send("http://pair", 100)
    failures = failing.with_status(500)
    assert 3 <= len(failures) <= 6, "three in a row are enough, and what was already on its way"
    assert {result.hostname for result in failures} == {hostname}
    assert_all(without)
    assert_ejected(without, hostname)
    assert_all(healed)
    assert len(healed.counts("hostname")) == 2
