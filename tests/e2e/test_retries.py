"""Retries: the counts at the client, at the server and in the proxy agree, request by request."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import pytest

from mesh_lab.testing import (
    EchoControl,
    Mesh,
    Results,
    TrafficClient,
    assert_all,
    assert_lasted,
    route,
    to,
    virtual_service,
)

REQUESTS = 20


@pytest.fixture
def server(shop: Mesh) -> EchoControl:
    server = shop.echo()
    server.reset()
    return server


def retrying(**retries: Any) -> dict[str, Any]:
    return virtual_service("echo", route(to("echo"), retries=retries))


def retries_of(shop: Mesh) -> AbstractContextManager[dict[str, int]]:
    """What the client's proxy counts of retries during a `with` block."""
    return shop.proxy("client").counting("upstream_rq_retry")


def attempts(server: EchoControl, results: Results) -> list[int]:
    """How often each request reached the server."""
    counted = server.counts()["attempts"]
    return [counted[result.id] for result in results]


def test_a_request_that_fails_twice_succeeds_at_the_third_attempt(
    shop: Mesh, client: TrafficClient, server: EchoControl
) -> None:
    with shop.applied(retrying(attempts=3, retryOn="5xx")), retries_of(shop) as growth:
        results = client.send("http://echo/?fail=2", REQUESTS, distinct_ids=True)
    assert_all(results)
    assert attempts(server, results) == [3] * REQUESTS
    assert _exact(growth, "upstream_rq_retry") == 2 * REQUESTS
    assert _exact(growth, "upstream_rq_retry_success") == REQUESTS


def _exact(growth: dict[str, int], statistic: str) -> int:
    """The growth of one statistic over all clusters of the echo server."""
    return sum(value for name, value in growth.items() if "echo" in name and name.endswith(f".{statistic}"))


def test_no_more_attempts_are_made_than_allowed(shop: Mesh, client: TrafficClient, server: EchoControl) -> None:
    with shop.applied(retrying(attempts=2, retryOn="5xx")), retries_of(shop) as growth:
        results = client.send("http://echo/?fail=9&code=502", REQUESTS, distinct_ids=True)
    assert_all(results, status=502)
    assert attempts(server, results) == [3] * REQUESTS
    assert _exact(growth, "upstream_rq_retry_limit_exceeded") == REQUESTS


def test_other_codes_than_those_named_are_not_retried(shop: Mesh, client: TrafficClient, server: EchoControl) -> None:
    with shop.applied(retrying(attempts=3, retryOn="503")):
        failed = client.send("http://echo/?fail=1&code=500", REQUESTS, distinct_ids=True)
        retried = client.send("http://echo/?fail=1&code=503", REQUESTS, distinct_ids=True)
    assert_all(failed, status=500)
    assert attempts(server, failed) == [1] * REQUESTS
    assert_all(retried)
    assert attempts(server, retried) == [2] * REQUESTS


def test_by_default_a_503_of_the_application_is_not_retried(client: TrafficClient, server: EchoControl) -> None:
    results = client.send("http://echo/?fail=1&code=503", REQUESTS, distinct_ids=True)
    assert_all(results, status=503)
    assert attempts(server, results) == [1] * REQUESTS


def test_an_application_that_cuts_the_connection_is_a_503_to_retry(
    shop: Mesh, client: TrafficClient, server: EchoControl
) -> None:
    # The server's sidecar answers for its application: what the client's sees is no reset, but a 503.
    with shop.applied(retrying(attempts=2, retryOn="gateway-error")):
        results = client.send("http://echo/?close", 5, distinct_ids=True)
    assert_all(results, status=503)
    assert attempts(server, results) == [3] * 5


def test_each_attempt_has_a_time_limit_of_its_own(shop: Mesh, client: TrafficClient, server: EchoControl) -> None:
    with shop.applied(retrying(attempts=1, perTryTimeout="0.2s", retryOn="5xx")):
        results = client.send("http://echo/?delay=5", 3, concurrency=3, distinct_ids=True)
    assert_all(results, status=504)
    assert attempts(server, results) == [2] * 3
    assert_lasted(results, 0.4, 5)


def test_attempts_are_apart_by_the_back_off_that_a_rule_says(shop: Mesh, client: TrafficClient) -> None:
    """Envoy draws each pause up to it: that all of 20 are short by chance happens once in a million runs."""

    def longest(**more: Any) -> float:
        with shop.applied(retrying(attempts=1, retryOn="5xx", **more)):
            results = client.send("http://echo/?fail=1", REQUESTS, concurrency=REQUESTS, distinct_ids=True)
        assert_all(results)
        return max(result.duration_ms for result in results)

    assert longest(backoff="1s") > 500
    assert longest() < 500
