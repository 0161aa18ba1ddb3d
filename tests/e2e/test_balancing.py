"""Which endpoint a request goes to: by turns, at random, or always the same for requests that are alike."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from mesh_lab.testing import Mesh, Object, TrafficClient, assert_all, assert_random_baseline, destination_rule

# Of two endpoints a hash picks either: that all of 24 keys go to one happens once in 2**23 choices of keys.
KEYS = 24


@pytest.fixture
def client(canary: Mesh) -> TrafficClient:
    return canary.client()


def balancing(**settings: Any) -> Object:
    return destination_rule("echo", "v1", "v2", policy={"loadBalancer": settings})


def hashing(**by: Any) -> Object:
    return balancing(consistentHash=by)


def test_round_robin_takes_turns(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(balancing(simple="ROUND_ROBIN")):
        results = client.send("http://echo", 20)
    assert_all(results)
    served = [result.version for result in results]
    assert all(one != other for one, other in itertools.pairwise(served)), served


def test_random_is_random(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(balancing(simple="RANDOM")):
        results = client.send("http://echo", 300)
    assert_all(results)
    assert_random_baseline(results, [canary.pod("echo", v)["metadata"]["name"] for v in ("v1", "v2")])


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_endpoints_that_share_labels_come_first(canary: Mesh, client: TrafficClient, version: str) -> None:
    preferred = {"localityLbSetting": {"failoverPriority": [f"version={version}"]}}
    policy = {"loadBalancer": preferred, "outlierDetection": {}}
    with canary.applied(destination_rule("echo", "v1", "v2", policy=policy)):
        assert_all(client.send("http://echo", 20), version=version)


@pytest.mark.parametrize("key", ["header", "query parameter"])
def test_requests_that_are_alike_go_to_one_endpoint(canary: Mesh, client: TrafficClient, key: str) -> None:
    by = {"httpHeaderName": "x-user"} if key == "header" else {"httpQueryParameterName": "user"}
    served: dict[str, set[str]] = {}
    with canary.applied(hashing(**by)):
        for number in range(KEYS):
            user = f"user-{number}"
            url = "http://echo/" if key == "header" else f"http://echo/?user={user}"
            results = client.send(url, 3, headers={"x-user": user} if key == "header" else {})
            assert_all(results)
            served[user] = set(results.counts("version"))
    assert all(len(versions) == 1 for versions in served.values()), served
    assert set().union(*served.values()) == {"v1", "v2"}


def test_a_client_keeps_its_endpoint_by_a_cookie_that_the_proxy_gives_it(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(hashing(httpCookie={"name": "session", "path": "/shop", "ttl": "60s"})):
        first = client.send("http://echo/", show_header=["set-cookie"])[0]
        given = first.headers["set-cookie"]
        cookie = re.match(r'session="?([^";]+)"?; Max-Age=60; Path=/shop', given)
        assert cookie is not None, given
        again = client.send("http://echo/", 10, headers={"cookie": f"session={cookie[1]}"})
    assert_all(again, version=first.version)


def test_a_client_keeps_its_endpoint_by_its_address(canary: Mesh, client: TrafficClient) -> None:
    with canary.applied(hashing(useSourceIp=True)):
        results = client.send("http://echo", 20, new_connections=True)
    assert_all(results)
    assert len(results.counts("version")) == 1
