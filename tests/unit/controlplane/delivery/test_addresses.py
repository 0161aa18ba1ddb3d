"""Automatic addresses of ServiceEntries: which hosts get one, from which range, and when the status is written."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping
from typing import Any, cast

from mesh_lab.controlplane.delivery import addresses
from mesh_lab.controlplane.delivery.addresses import RANGE_OF_IPV6, AddressAllocator, Pool, plan
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.client import ApiError, KubeClient, Unreachable
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.model import ServiceEntry
from tests.unit.controlplane.cluster import Cluster, config

Object = dict[str, Any]


def entry(name: str, *hosts: str, given: Mapping[str, str] | None = None, created: str = "2026", **spec: Any) -> Object:
    hosts = hosts or (f"{name}.internal",)
    made = config("ServiceEntry", name, {"hosts": list(hosts), "resolution": "DNS", **spec}, created=created)
    return {**made, "status": {"addresses": [{"host": h, "value": v} for h, v in (given or {}).items()]}}


def planned(*entries: Object, held: Mapping[str, Mapping[str, str]] | None = None) -> dict[str, dict[str, str]]:
    """Of a cluster with IPv4 only."""
    table = Cluster().istio(*entries).snapshot().of(ServiceEntry)
    known = {("default", name): {h: (a,) for h, a in given.items()} for name, given in (held or {}).items()}
    return {
        name: {h: a for h, (a,) in given.items()} for (_, name), given in plan(table.values(), known, [Pool()]).items()
    }


def test_each_host_has_an_address_of_its_own() -> None:
    found = planned(entry("a", "a1.internal", "a2.internal"), entry("b"))
    assert found == {
        "a": {"a1.internal": "240.240.0.1", "a2.internal": "240.240.0.2"},
        "b": {"b.internal": "240.240.0.3"},
    }


def test_none_is_given_where_nothing_would_lead_there_or_nobody_wants_it() -> None:
    opted_out = entry("out")
    opted_out["metadata"]["labels"] = {"networking.istio.io/enable-autoallocate-ip": "False"}
    found = planned(
        entry("none", resolution="NONE"),
        entry("own", addresses=["10.1.1.1"]),
        entry("wild", "*.internal"),
        opted_out,
        entry("dynamic", "*.example.com", resolution="DYNAMIC_DNS"),
    )
    assert {name for name, given in found.items() if given} == {"dynamic"}


def test_what_a_host_has_stays() -> None:
    has = {"a.internal": "240.240.7.7"}
    assert planned(entry("b"), entry("a", given=has)) == {"a": has, "b": {"b.internal": "240.240.0.1"}}
    held = {"a": {"a.internal": "240.240.0.5"}}
    assert planned(entry("a"), held=held) == held, "it has been decided, and is not in the status yet"
    assert planned(entry("a", given=has), held=held) == {"a": has}, "another istiod has decided otherwise"


def test_one_address_is_not_given_twice() -> None:
    same = "240.240.0.1"
    found = planned(
        entry("young", given={"young.internal": same}, created="2027"),
        entry("old", given={"old.internal": same}, created="2026"),
    )
    assert found["old"] == {"old.internal": same}
    assert found["young"] == {"young.internal": "240.240.0.2"}


def test_a_decision_against_a_status_stays_until_it_is_written() -> None:
    old, young = (entry(name, given={f"{name}.internal": "240.240.0.1"}, created=name) for name in ("a", "b"))
    decided = {"b": {"b.internal": "240.240.0.9"}}
    assert planned(old, young, held=decided)["b"] == decided["b"]


def test_an_address_that_a_user_wrote_is_not_given() -> None:
    found = planned(
        entry("own", addresses=["240.240.0.1/32"], resolution="NONE"), entry("a", given={"a.internal": "240.240.0.1"})
    )
    assert found["a"] == {"a.internal": "240.240.0.2"}


def test_an_address_of_another_range_is_replaced() -> None:
    assert planned(entry("a", given={"a.internal": "10.0.0.1"})) == {"a": {"a.internal": "240.240.0.1"}}


def test_where_there_are_two_families_a_host_has_an_address_of_each() -> None:
    table = Cluster().istio(entry("a", given={"a.internal": "240.240.0.7"}), entry("b")).snapshot().of(ServiceEntry)
    pools = [Pool(), Pool(RANGE_OF_IPV6)]
    both = plan(table.values(), {}, pools)
    assert both["default", "a"] == {"a.internal": ("240.240.0.7", "2001:2::1")}
    assert both["default", "b"] == {"b.internal": ("240.240.0.1", "2001:2::2")}
    assert plan(table.values(), both, pools) == both, "what has been decided stays"
    fewer = plan(table.values(), both, pools[:1])
    assert fewer["default", "b"] == {"b.internal": ("240.240.0.1",)}


def test_what_was_taken_back_is_given_again_last() -> None:
    pool = Pool(ipaddress.IPv4Network("240.240.0.0/29"))
    assert [pool.take(set()) for _ in range(7)] == [f"240.240.0.{n}" for n in (1, 2, 3, 4, 5, 6, 1)]
    assert pool.take({f"240.240.0.{n}" for n in range(1, 7)}) is None


class Api:
    """Keeps what is written; the first writes may fail."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.written: list[tuple[str, Any]] = []
        self.wrote = Signal()

    async def merge(self, _kind: object, name: str, patch: Object, _namespace: str, subresource: str) -> Object:
        assert subresource == "status"
        if self.failures:
            raise self.failures.pop(0)
        self.written.append((name, patch["status"]["addresses"]))
        self.wrote.fire()
        return {}


async def allocated(api: Api, state: ClusterState, count: int) -> list[tuple[str, Any]]:
    """Run the allocator until it has written so often."""
    task = asyncio.create_task(AddressAllocator(cast(KubeClient, api), state).run())
    try:
        assert await api.wrote.until(lambda: len(api.written) >= count, 5)
    finally:
        task.cancel()
    return api.written


def state_with(*entries: Object) -> ClusterState:
    state = ClusterState()
    for each in entries:
        state.apply(FOLLOWED["ServiceEntry"], "ADDED", each)
    return state


async def test_only_what_differs_is_written() -> None:
    right = entry("right", given={"right.internal": "240.240.0.9"})
    stale = entry("stale", given={"stale.internal": "240.240.0.8"}, resolution="NONE")
    found = await allocated(Api(), state_with(right, stale, entry("new")), 2)
    assert sorted(found) == [
        ("new", [{"value": "240.240.0.1", "host": "new.internal"}]),
        ("stale", None),
    ]


async def test_a_write_that_fails_is_tried_again(monkeypatch: Any) -> None:
    monkeypatch.setattr(addresses, "_RETRY", 0.01)
    refused = ApiError(500, "InternalError", "")
    found = await allocated(Api(Unreachable("away"), refused), state_with(entry("a")), 1)
    assert found == [("a", [{"value": "240.240.0.1", "host": "a.internal"}])]
