"""A node of two families: its pods, its rules and what the kernel remembers, in real network namespaces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.kube.network.isolation import isolated

MODULE = "tests.unit.kube.network.inside_ipv6"
REFUSED = "Connection refused"

pytestmark = pytest.mark.skipif(
    not Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").exists(), reason="this machine's kernel has no IPv6"
)


@pytest.fixture(scope="module")
def ways() -> dict[str, Any]:
    found: dict[str, Any] = isolated("ways", module=MODULE)
    return found


def test_pods_have_an_address_of_each_family_and_the_next_pod_gets_others(ways: dict[str, Any]) -> None:
    assert ways["addresses"] == [["10.244.0.2", "fd00:10:244::2"], ["10.244.0.3", "fd00:10:244::3"]]
    assert ways["next"] == ["10.244.0.4", "fd00:10:244::4"]


def test_a_pod_that_was_made_with_one_address_has_no_ipv6_later(ways: dict[str, Any]) -> None:
    assert ways["made before"] == [["10.244.0.5"], "Network is unreachable"]


@pytest.mark.parametrize("to", ["pod", "service", "service of IPv4", "node port"])
def test_pods_and_the_node_reach(ways: dict[str, Any], to: str) -> None:
    assert ways[to] == ["ok", "ok"]


@pytest.mark.parametrize("to", ["other port of the service", "service that is not there"])
def test_pods_and_the_node_are_refused_at(ways: dict[str, Any], to: str) -> None:
    assert ways[to] == [REFUSED, REFUSED]


def test_a_pod_that_is_not_there_or_gone_is_told_at_once(ways: dict[str, Any]) -> None:
    assert ways["pod that is not there"] == ["Network is unreachable", "No route to host"]
    assert ways["pod that is gone"] == "Network is unreachable", "ICMPv6 says: no route to destination"


def test_a_pod_sees_its_clients_address_and_reaches_itself_through_its_service(ways: dict[str, Any]) -> None:
    assert set(ways["sources"]) >= {"fd00:10:244::2", "fd00:10:244::1"}
    assert ways["itself"] == ["ok", "fd00:10:244::1"]


def test_each_family_has_its_own_rules(ways: dict[str, Any]) -> None:
    assert (ways["removed"], ways["IPv4 stays"]) == (REFUSED, "ok")


def test_a_udp_flow_leaves_an_endpoint_that_is_gone() -> None:
    found = isolated("flow", module=MODULE)
    first, second = found["expected"]
    assert (found["before"], found["the other family's flows"], found["after"]) == ([first], [first], [second])
