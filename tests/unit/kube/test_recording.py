"""Events are written in the background; one that repeats raises a count."""

from __future__ import annotations

import asyncio

import pytest

from mesh_lab.kube import recording
from mesh_lab.kube.recording import NORMAL, WARNING, Recorder
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import CONFIGMAPS, EVENTS, NAMESPACES
from mesh_lab.kube.store import Store


async def settled(registry: Registry, number: int) -> list[dict[str, object]]:
    async with asyncio.timeout(10):
        while sum(each["count"] for each in registry.list(EVENTS)) < number:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    return registry.list(EVENTS)


async def test_an_event_has_its_object_reason_and_count() -> None:
    registry = Registry(Store())
    await registry.bootstrap()
    about = await registry.create(
        CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default"}}
    )
    recorder = Recorder(registry, "tester")
    running = asyncio.create_task(recorder.run())
    for _ in range(3):
        recorder.record(about, WARNING, "Broken", "it broke")
    recorder.record(about, NORMAL, "Broken", "it broke")
    events = await settled(registry, 4)
    running.cancel()
    counts = {(each["type"], each["reason"], each["message"]): each["count"] for each in events}
    assert counts == {("Warning", "Broken", "it broke"): 3, ("Normal", "Broken", "it broke"): 1}
    involved = events[0]["involvedObject"]
    assert isinstance(involved, dict)
    assert (involved["kind"], involved["name"], involved["uid"]) == ("ConfigMap", "a", about["metadata"]["uid"])
    assert events[0]["source"] == {"component": "tester"}


async def test_events_of_cluster_wide_objects_are_in_default() -> None:
    registry = Registry(Store())
    await registry.bootstrap()
    recorder = Recorder(registry, "tester")
    running = asyncio.create_task(recorder.run())
    recorder.record(registry.get(NAMESPACES, "kube-system"), NORMAL, "Seen", "seen")
    (event,) = await settled(registry, 1)
    running.cancel()
    assert event["metadata"]["namespace"] == "default"  # type: ignore[index]


async def test_events_beyond_the_limit_are_dropped() -> None:
    registry = Registry(Store())
    await registry.bootstrap()
    about = registry.get(NAMESPACES, "default")
    recorder = Recorder(registry, "tester")
    for number in range(recording.WAITING_LIMIT + 10):
        recorder.record(about, NORMAL, "Seen", f"number {number}")
    assert registry.list(EVENTS) == []


async def test_events_of_one_moment_are_listed_as_they_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their times are in seconds; kubectl shows those of one second in the order of the list, which is by name."""
    registry = Registry(Store())
    await registry.bootstrap()
    about = registry.get(NAMESPACES, "default")
    recorder = Recorder(registry, "tester")
    running = asyncio.create_task(recorder.run())
    monkeypatch.setattr(recording.time, "time_ns", lambda: 1_700_000_000_000_000_000)  # a clock may stand still
    reasons = ["Scheduled", "Pulled", "Created", "Started"]
    for reason in [*reasons, "Pulled"]:
        recorder.record(about, NORMAL, reason, "said")
    events = await settled(registry, 5)
    running.cancel()
    assert [(each["reason"], each["count"]) for each in events] == [(r, 2 if r == "Pulled" else 1) for r in reasons]


async def test_a_repeat_of_an_event_that_is_no_longer_remembered_is_a_new_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(Store())
    await registry.bootstrap()
    about = registry.get(NAMESPACES, "default")
    monkeypatch.setattr(recording, "KNOWN_LIMIT", 2)
    recorder = Recorder(registry, "tester")
    running = asyncio.create_task(recorder.run())
    for reason in ("A", "B", "A", "C", "A", "B"):
        recorder.record(about, NORMAL, reason, "said")
    events = await settled(registry, 6)
    running.cancel()
    assert [(each["reason"], each["count"]) for each in events] == [("A", 3), ("B", 1), ("C", 1), ("B", 1)]
