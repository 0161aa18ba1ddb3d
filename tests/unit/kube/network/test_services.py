"""The rules do in real network namespaces what they say."""

from __future__ import annotations

import errno

from mesh_lab.harness.statistics import split_arms
from tests.unit.kube.network.isolation import isolated

FALSE_ALARM = 1e-6
REFUSED = [errno.errorcode[errno.ECONNREFUSED]] * 2


def test_connections_spread_over_the_endpoints_at_random() -> None:
    """Exact: a fair choice fails this once in a million runs; endpoints that take turns, or one left out, always do."""
    found = isolated("spread", endpoints=3, connections=3000, sticky=False)
    arms = split_arms(found["arrived"], dict.fromkeys(found["arrived"], 1.0), FALSE_ALARM)
    assert len(arms) == 3
    assert sum(found["arrived"].values()) == 3000
    assert all(arm.ok for arm in arms), [f"{arm.name}: {arm.observed} not in {arm.accepted}" for arm in arms]
    assert found["sources"] == [found["client"]], "endpoints see the client's own address"


def test_with_affinity_a_client_stays_with_its_endpoint() -> None:
    found = isolated("spread", endpoints=3, connections=50, sticky=True)
    assert list(found["arrived"].values()) == [50]


def test_datagrams_spread_by_socket() -> None:
    found = isolated("datagrams", count=2000)
    assert sum(found.values()) == 2000
    assert all(arm.ok for arm in split_arms(found, dict.fromkeys(found, 1.0), FALSE_ALARM)), found


def test_a_udp_flow_leaves_an_endpoint_that_is_gone() -> None:
    found = isolated("flows")
    assert found["one endpoint"] == ["10.244.0.10"]
    assert found["another beside it"] == ["10.244.0.10"], "a flow stays where it is while that endpoint lives"
    assert found["the first drains"] == ["10.244.0.10"], "and while it still serves"
    assert found["the first is gone"] == ["10.244.0.11"]
    assert found["by the node port"] == ["10.244.0.11"]
    assert found["none is left"] == [errno.errorcode[errno.ECONNREFUSED]]
    assert found["connection"] == "still there", "connections end as their ends decide"


def test_connections_go_where_they_should_or_fail_at_once() -> None:
    found = isolated("ways")
    assert found["service"] == ["ok", "ok"]
    assert found["node port"] == ["ok", "ok"]
    assert found["load balancer"] == ["ok", "ok"]
    assert found["other port of the load balancer"] == REFUSED
    assert found["other port of the service"] == REFUSED
    assert found["service that is not there"] == REFUSED
    assert found["pod that is not there"] == [errno.errorcode[errno.EHOSTUNREACH]] * 2
    assert found["outward"] == [errno.errorcode[errno.ENETUNREACH]] * 2
    assert found["itself"] == ["ok", "10.244.0.1", "hello"], "a pod reaches itself through its Service"


def test_changes_lead_to_the_same_rules_as_a_fresh_start() -> None:
    assert isolated("steps", seed=20240501, count=60) == []


def test_many_services_are_followed() -> None:
    assert isolated("follows", services=1000) == {
        "at the start": 1000,
        "after a change": 999,
        "rule": True,
        "after the table was gone": 999,
        "trouble at first": "the rules of the Services are not applied yet",
        "trouble": "",
    }
