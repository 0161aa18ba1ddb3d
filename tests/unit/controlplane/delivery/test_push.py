"""When a change is pushed, and in which order the proxies get it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

from mesh_lab.controlplane.delivery.messages import Request
from mesh_lab.controlplane.delivery.push import Pusher
from mesh_lab.controlplane.delivery.state import ClusterState
from mesh_lab.controlplane.kube.kinds import FOLLOWED
from mesh_lab.controlplane.kube.signals import Signal
from mesh_lab.controlplane.model import VirtualService
from mesh_lab.controlplane.process.faults import Faults
from mesh_lab.controlplane.process.metrics import Metrics
from mesh_lab.controlplane.world.proxy import Proxy
from mesh_lab.controlplane.world.snapshot import Snapshot
from mesh_lab.controlplane.xds.built import Built, build
from mesh_lab.controlplane.xds.typeurls import LDS
from tests.unit.controlplane.mesh import pod, virtual_service

NEVER = 3600.0
PODS = ("first", "second", "third")


class Plane:
    """A pusher with three proxies; a proxy's listener is the VirtualService that has its pod's name."""

    def __init__(self, debounce: float) -> None:
        self.state = ClusterState()
        self.given: list[str] = []
        self.turns = 0
        for index, name in enumerate(PODS):
            self.state.apply(FOLLOWED["Pod"], "ADDED", pod(name, ip=f"10.0.0.{index + 1}"))
            self.change(name, "/")
        trust = cast("Any", SimpleNamespace(changed=Signal()))
        self.pusher = Pusher(
            self.state,
            trust,
            self.generate,
            Metrics(),
            Faults(),
            issue_for=timedelta(days=1),
            debounce=(debounce, debounce * 10),
        )
        snapshot = self.state.snapshot()
        for name in PODS:
            key = ("default", name)
            self.pusher.connect(self.state.fleet.pods[key], snapshot.pods[key], "")

    def generate(self, snapshot: Snapshot, proxy: Proxy) -> Mapping[str, Mapping[str, Built]]:
        self.given.append(proxy.pod)
        spec = snapshot.of(VirtualService)[("default", proxy.pod)].spec
        return {LDS: {"listener": build(LDS, "listener", repr(spec).encode(), ())}}

    def change(self, name: str, prefix: str) -> None:
        self.turns += 1
        changed = virtual_service(name, "anywhere", prefix=prefix)
        changed["metadata"] |= {"generation": self.turns, "resourceVersion": str(self.turns)}
        self.state.apply(FOLLOWED["VirtualService"], "MODIFIED", changed)

    def acknowledge(self) -> None:
        """Each proxy subscribes to listeners, if it has not yet, and accepts what it is sent."""
        for connection in self.pusher.connections:
            connection.session.request(Request(LDS))
            for response in connection.session.pump(0.0):
                connection.session.request(Request(LDS, response.nonce))

    async def pushed(self) -> list[str]:
        """The proxies in the order in which the next push gives to them."""
        self.given.clear()
        before = self.state.latest.version
        assert await self.state.progress.until(lambda: self.state.latest.version > before, 10)
        return list(self.given)


@asynccontextmanager
async def running(debounce: float) -> AsyncIterator[Plane]:
    plane = Plane(debounce)
    task = asyncio.create_task(plane.pusher.run())
    try:
        yield plane
    finally:
        task.cancel()
        await asyncio.wait({task})


async def test_the_first_change_after_a_quiet_time_is_pushed_at_once() -> None:
    async with asyncio.timeout(10), running(NEVER) as plane:
        plane.change("first", "/new")
        assert sorted(await plane.pushed()) == sorted(PODS)


async def test_a_change_that_follows_closely_waits_for_more() -> None:
    async with running(NEVER) as plane:
        plane.change("first", "/new")
        await plane.pushed()
        seen = plane.state.latest.version
        plane.change("first", "/newer")
        for _ in range(20):
            await asyncio.sleep(0)
        assert plane.state.latest.version == seen


async def test_the_proxy_that_the_last_change_was_for_gets_the_next_one_first() -> None:
    async with asyncio.timeout(10), running(0.001) as plane:
        plane.acknowledge()
        for name in ("second", "third", "first", "third"):
            plane.change(name, f"/{plane.turns}")
            await plane.pushed()
            plane.acknowledge()
            plane.change("first", "/")
            assert (await plane.pushed())[0] == name
            plane.acknowledge()
