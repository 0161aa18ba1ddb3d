"""Statuses of Consul's objects: written once, as snapshots have them, and again when they say something new."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.dialects import table
from mesh_lab.controlplane.kube.client import ApiError
from mesh_lab.controlplane.kube.kinds import FOLLOWED, Kind
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.report.dialectstatuses import DialectStatuses
from tests.unit.controlplane.cluster import Object, service
from tests.unit.controlplane.dialects.consul.objects import defaults, resolver, splitter

CONSUL = table.chosen(("consul",))


class Api:
    """Takes statuses, and refuses the first `failing` of them."""

    def __init__(self, failing: int = 0) -> None:
        self.written: asyncio.Queue[tuple[str, Mapping[str, Any]]] = asyncio.Queue()
        self._failing = failing

    async def merge(
        self, kind: Kind, name: str, patch: Mapping[str, Any], namespace: str = "", subresource: str = ""
    ) -> Object:
        assert (name, namespace, subresource) == ("reviews", "default", "status")
        if self._failing:
            self._failing -= 1
            raise ApiError(500, "InternalError", "no")
        self.written.put_nowait((kind.kind, patch["status"]))
        return {"status": patch["status"]}


def put(state: ClusterState, kind: str, obj: Object) -> None:
    state.apply(FOLLOWED[kind], "ADDED", obj)


async def written(api: Api, count: int) -> dict[str, Mapping[str, Any]]:
    async with asyncio.timeout(10):
        return dict([await api.written.get() for _ in range(count)])


async def test_they_are_written_when_they_say_something_new() -> None:
    state, api = ClusterState(dialects=CONSUL), Api()
    statuses = DialectStatuses(api, state, CONSUL, Faults())
    put(state, "Service", service("reviews", ("http", 9080)))
    put(state, "ServiceResolver", resolver())
    put(state, "ServiceSplitter", splitter({"weight": 100, "serviceSubset": "v1"}))
    state.snapshot()
    task = asyncio.create_task(statuses.run())
    first = await written(api, 2)
    assert first["ServiceResolver"]["conditions"][0]["status"] == "True"
    assert first["ServiceResolver"]["lastSyncedTime"]
    refused = first["ServiceSplitter"]
    assert (refused["conditions"][0]["reason"], refused["lastSyncedTime"]) == ("ConsulAgentError", None)
    put(state, "ServiceDefaults", defaults())
    state.snapshot()
    second = await written(api, 2)
    assert {kind: status["conditions"][0]["status"] for kind, status in second.items()} == {
        "ServiceDefaults": "True",
        "ServiceSplitter": "True",
    }
    state.snapshot()
    await asyncio.sleep(0)
    assert api.written.empty()
    task.cancel()


async def test_one_that_could_not_be_written_is_written_later() -> None:
    state, api = ClusterState(dialects=CONSUL), Api(failing=1)
    statuses = DialectStatuses(api, state, CONSUL, Faults())
    put(state, "ServiceResolver", resolver())
    state.snapshot()
    task = asyncio.create_task(statuses.run())
    assert (await written(api, 1))["ServiceResolver"]["conditions"][0]["status"] == "True"
    task.cancel()
