"""Traffic splits: exactly as weighted, at a stated rate of false alarms; nothing is tried twice."""

from __future__ import annotations

import pytest

from mesh_lab.testing import (
    Mesh,
    TrafficClient,
    VersionOf,
    assert_all,
    assert_no_errors,
    assert_route_splits,
    assert_split,
    by_header,
    by_json,
    destination_rule,
    route,
    tcp_virtual_service,
    to,
    virtual_service,
)

# At one false alarm in a million 3,000 requests tell 4.5 points at a half and 2.7 at nine tenths.
REQUESTS = 3000
FALSE_ALARM = 1e-6


@pytest.fixture
def client(canary: Mesh) -> TrafficClient:
    return canary.client()


@pytest.mark.parametrize(("first", "second"), [(90, 10), (50, 50), (100, 0)])
def test_traffic_is_split_as_weighted(canary: Mesh, client: TrafficClient, first: int, second: int) -> None:
    with canary.applied(virtual_service("echo", route(to("echo", "v1", first), to("echo", "v2", second)))):
        results = client.send("http://echo", REQUESTS, concurrency=16)
    assert_all(results)
    assert_split(results, {"v1": first, "v2": second}, false_alarm=FALSE_ALARM)


def test_a_split_is_proved_with_as_many_requests_as_it_takes(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(virtual_service("echo", route(to("echo", "v1", 90), to("echo", "v2", 10)))):
        assert_route_splits(client, "http://echo", {"v1": 90, "v2": 10}, concurrency=16)


def test_a_split_that_is_five_points_off_is_found(canary: Mesh, client: TrafficClient) -> None:
    with (
        canary.applied(virtual_service("echo", route(to("echo", "v1", 85), to("echo", "v2", 15)))),
        pytest.raises(AssertionError, match="is not split as"),
    ):
        assert_route_splits(client, "http://echo", {"v1": 90, "v2": 10}, concurrency=16)


@pytest.mark.parametrize("version_of", [by_header("x-echo-version"), by_json("$.version")], ids=["header", "json"])
def test_a_version_is_read_from_where_the_server_says_it(
    canary: Mesh, client: TrafficClient, version_of: VersionOf
) -> None:
    with canary.applied(virtual_service("echo", route(to("echo", "v1", 50), to("echo", "v2", 50)))):
        results = client.send("http://echo", 400, concurrency=16, version_of=version_of)
        unread = client.send("http://echo/", 10, version_of=by_header("x-version"))
    assert_split(results, {"v1": 50, "v2": 50}, false_alarm=FALSE_ALARM)
    assert unread.versions() == {"": 10}


def test_connections_are_split_as_weighted(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(tcp_virtual_service("echo", to("echo", "v1", 80, port=9000), to("echo", "v2", 20, port=9000))):
        results = client.send("tcp://echo:9000", 600, concurrency=10)
    assert_all(results)
    assert_split(results, {"v1": 80, "v2": 20}, false_alarm=FALSE_ALARM)


def test_a_split_that_is_live_is_live_for_the_very_next_request(canary: Mesh, client: TrafficClient) -> None:
    with client.sending("http://echo", 20_000, rate=200, concurrency=10) as under_way:
        for version in ("v1", "v2", "v1", "v2"):
            with canary.applied(virtual_service("echo", route(to("echo", version)))):
                results = client.send("http://echo", 50)
            assert_all(results, version=version)
        assert_no_errors(under_way.stop())


def test_a_rule_that_changes_again_and_again_loses_no_request(canary: Mesh, client: TrafficClient) -> None:
    try:
        with client.sending("http://echo", 20_000, rate=200, concurrency=10) as under_way:
            for limit in (100, 200, 300, 400):
                pool = {"connectionPool": {"http": {"http2MaxRequests": limit}}}
                (ref,) = canary.apply(destination_rule("echo", "v1", "v2", policy=pool))
                canary.wait_live(ref)
                assert_all(client.send("http://echo", 20))
            assert_no_errors(under_way.stop())
    finally:
        canary.apply(destination_rule("echo", "v1", "v2"))
