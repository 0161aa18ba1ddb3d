"""Faults follow the annotations of stored pods, tell of themselves on the pod, and end by themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh_lab.conditions import find
from mesh_lab.kube.network.faults.injecting import Faults
from mesh_lab.kube.network.nft import Nft, NftError
from mesh_lab.kube.recording import Recorder
from mesh_lab.kube.registry import DeleteOptions
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import EVENTS, PODS
from mesh_lab.kube.store import Store
from mesh_lab.networkfaults import ENDED, IN_FORCE, REFUSED, packets_in
from mesh_lab.rfc3339 import micro_timestamp

Object = dict[str, Any]
LIMIT = 10.0
KEY = "chaos.mesh-lab/one"
DROPPED = 17


class FakeNft(Nft):
    """Knows which tables there are, each with packets; what holds a forbidden word is refused."""

    def __init__(self) -> None:
        self.tables: dict[str, str] = {}
        self.forbidden = ""
        self.refused = 0

    async def apply(self, text: str) -> None:
        self.run(text)

    def run(self, text: str, *, dry: bool = False) -> str:
        if self.forbidden and self.forbidden in text:
            self.refused += 1
            raise NftError(f"the kernel knows no {self.forbidden}")
        name = text.split()[2]
        if text.startswith("add table"):
            return f"counter packets {DROPPED} bytes 0"
        if "{" in text:
            self.tables[name] = text
        else:
            self.tables.pop(name, None)
        return ""


class Lab:
    """A registry, and its faults over a fake kernel."""

    def __init__(self) -> None:
        self.registry = Registry(Store())
        self.nft = FakeNft()
        self.recorder = Recorder(self.registry, "network")
        self._running: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin, or begin anew with a kernel that has no tables."""
        await self.stop()
        self.nft.tables.clear()
        self._running = asyncio.create_task(Faults(self.registry, self.nft, self.recorder, ["10.244.0.1"]).run())

    async def stop(self) -> None:
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def pod(self, name: str = "web") -> None:
        spec = {"containers": [{"name": "main", "image": "app"}]}
        await self.registry.create(PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
        status = {"phase": "Running", "podIPs": [{"ip": "10.244.0.5"}], "podIP": "10.244.0.5"}
        await self.registry.modify(PODS, name, "default", lambda obj: {**obj, "status": status}, subresource="status")

    async def ask(self, text: str | None, key: str = KEY) -> None:
        def change(obj: Object) -> Object:
            annotations = {**obj["metadata"].get("annotations", {}), key: text}
            kept = {name: value for name, value in annotations.items() if value is not None}
            return {**obj, "metadata": {**obj["metadata"], "annotations": kept}}

        await self.registry.modify(PODS, "web", "default", change)

    def told(self, key: str = KEY) -> Object:
        return dict(find(self.registry.get(PODS, "web", "default").get("status", {}).get("conditions"), key))

    def events(self) -> list[tuple[str, str]]:
        return sorted((each["type"], each["reason"]) for each in self.registry.list(EVENTS))

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for what the store will come to hold."""
        async with asyncio.timeout(LIMIT):
            while not condition():  # noqa: ASYNC110 - neither the store nor the kernel has an event for it
                await asyncio.sleep(0.005)


def partition(seconds: float = 60.0, **more: Any) -> str:
    return json.dumps(
        {"kind": "partition", "until": micro_timestamp(datetime.now(UTC) + timedelta(seconds=seconds)), **more}
    )


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    lab = Lab()
    await lab.registry.bootstrap()
    recording = asyncio.create_task(lab.recorder.run())
    await lab.pod()
    await lab.start()
    yield lab
    await lab.stop()
    recording.cancel()


async def test_a_fault_is_in_force_while_its_annotation_is_there(lab: Lab) -> None:
    await lab.ask(partition())
    await lab.until(lambda: lab.told().get("reason") == IN_FORCE)
    (table,) = lab.nft.tables.values()
    assert "ip saddr 10.244.0.5 counter drop" in table
    assert lab.told()["status"] == "True"
    await lab.ask(None)
    await lab.until(lambda: not lab.told())
    assert lab.nft.tables == {}
    await lab.until(lambda: lab.events() == [("Normal", "FaultEnded"), ("Normal", "FaultInForce")])


async def test_a_fault_ends_at_its_moment_and_tells_of_its_packets(lab: Lab) -> None:
    await lab.ask(partition(0.3))
    await lab.until(lambda: lab.told().get("reason") == ENDED)
    assert lab.nft.tables == {}
    assert lab.told()["status"] == "False"
    assert packets_in(lab.told()["message"]) == DROPPED
    await lab.until(lambda: lab.events() == [("Normal", "FaultEnded"), ("Normal", "FaultInForce")])


async def test_an_earlier_end_ends_it_at_once(lab: Lab) -> None:
    await lab.ask(partition())
    await lab.until(lambda: lab.told().get("reason") == IN_FORCE)
    await lab.ask(partition(0))
    await lab.until(lambda: lab.told().get("reason") == ENDED)
    assert lab.nft.tables == {}


async def test_faults_of_a_pod_come_and_go_by_themselves(lab: Lab) -> None:
    other = "chaos.mesh-lab/two"
    await lab.ask(partition())
    await lab.ask(partition(peers=["10.244.0.9"]), other)
    await lab.until(lambda: lab.told().get("reason") == lab.told(other).get("reason") == IN_FORCE)
    assert len(lab.nft.tables) == 2
    await lab.ask(None)
    await lab.until(lambda: not lab.told())
    assert lab.told(other)["reason"] == IN_FORCE
    assert len(lab.nft.tables) == 1


async def test_what_is_no_fault_is_refused_with_an_event_and_nothing_is_done(lab: Lab) -> None:
    await lab.ask('{"kind": "earthquake"}')
    await lab.until(lambda: lab.told().get("reason") == REFUSED)
    assert "$.kind" in lab.told()["message"]
    assert lab.nft.tables == {}
    await lab.until(lambda: ("Warning", "FaultRefused") in lab.events())


async def test_what_the_kernel_refuses_is_refused_in_its_words(lab: Lab) -> None:
    lab.nft.forbidden = "numgen"
    await lab.ask(json.dumps({**json.loads(partition()), "kind": "loss", "ratio": 0.5}))
    await lab.until(lambda: lab.told().get("reason") == REFUSED)
    assert "the kernel knows no numgen" in lab.told()["message"]


async def test_a_table_that_cannot_be_removed_is_tried_again(lab: Lab) -> None:
    await lab.ask(partition())
    await lab.until(lambda: lab.told().get("reason") == IN_FORCE)
    lab.nft.forbidden = "delete table"
    await lab.ask(None)
    await lab.until(lambda: lab.nft.refused)
    assert lab.told()["reason"] == IN_FORCE
    lab.nft.forbidden = ""
    await lab.until(lambda: not lab.told())
    assert lab.nft.tables == {}


async def test_a_pod_takes_its_faults_along(lab: Lab) -> None:
    await lab.ask(partition())
    await lab.until(lambda: lab.told().get("reason") == IN_FORCE)
    await lab.registry.delete(PODS, "web", "default", options=DeleteOptions(grace_period=0))
    await lab.until(lambda: lab.nft.tables == {})


async def test_a_node_that_starts_anew_makes_what_is_still_asked_for_and_says_nothing_twice(lab: Lab) -> None:
    ended = "chaos.mesh-lab/ended"
    await lab.ask(partition(0.1), ended)
    await lab.ask(partition())
    await lab.until(lambda: (lab.told(ended).get("reason"), lab.told().get("reason")) == (ENDED, IN_FORCE))
    before = lab.told(ended), lab.told()
    await lab.start()
    await lab.ask("{}", "chaos.mesh-lab/after")
    await lab.until(lambda: lab.told("chaos.mesh-lab/after"))
    assert len(lab.nft.tables) == 1
    assert (lab.told(ended), lab.told()) == before


async def test_conditions_of_others_stay(lab: Lab) -> None:
    ready = {"type": "Ready", "status": "True"}

    def change(obj: Object) -> Object:
        return {**obj, "status": {**obj["status"], "conditions": [ready]}}

    await lab.registry.modify(PODS, "web", "default", change, subresource="status")
    await lab.ask(partition())
    await lab.until(lambda: lab.told().get("reason") == IN_FORCE)
    assert lab.told("Ready") == ready
