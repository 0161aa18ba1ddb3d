"""The reflector survives gaps: a reader that fell behind gets all objects again, and vanished ones as deleted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from mesh_lab.kube import changes
from mesh_lab.kube.reflector import ADDED, BOOKMARK, DELETED, MODIFIED, Event, follow
from mesh_lab.kube.registry.registry import Registry
from mesh_lab.kube.resources import CONFIGMAPS
from mesh_lab.kube.store import Store


async def make(registry: Registry, name: str) -> None:
    metadata = {"name": name, "namespace": "default"}
    await registry.create(CONFIGMAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def reported(event: Event) -> tuple[str, str]:
    metadata: dict[str, Any] = event.object["metadata"]
    return event.type, metadata.get("name", "")


async def test_objects_then_a_bookmark_then_changes() -> None:
    registry = Registry(Store())
    await registry.bootstrap()
    await make(registry, "a")
    async with asyncio.timeout(10), aclosing(follow(registry, CONFIGMAPS)) as events:
        assert [reported(await anext(events)) for _ in range(2)] == [(ADDED, "a"), (BOOKMARK, "")]
        await registry.modify(CONFIGMAPS, "a", "default", lambda found: found | {"data": {"k": "v"}})
        await registry.delete(CONFIGMAPS, "a", "default")
        assert [reported(await anext(events)) for _ in range(2)] == [(MODIFIED, "a"), (DELETED, "a")]


async def test_after_a_gap_deletions_are_reported_even_if_the_name_is_in_use_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(changes, "KEPT_SECONDS", 0)
    registry = Registry(Store())
    await registry.bootstrap()
    for name in ("stays", "goes", "again"):
        await make(registry, name)
    first = registry.get(CONFIGMAPS, "again", "default")["metadata"]["uid"]
    async with asyncio.timeout(60), aclosing(follow(registry, CONFIGMAPS)) as events:
        while (await anext(events)).type != BOOKMARK:
            continue
        for name in ("goes", "again"):
            await registry.delete(CONFIGMAPS, name, "default")
        await make(registry, "again")
        for number in range(2 * changes.KEPT_CHANGES):
            await registry.modify(
                CONFIGMAPS, "stays", "default", lambda found, number=number: found | {"data": {"n": str(number)}}
            )
        seen = []
        while not seen or seen[-1].type != BOOKMARK:
            seen.append(await anext(events))
    expected = {(ADDED, "stays"), (ADDED, "again"), (DELETED, "goes"), (DELETED, "again")}
    assert {reported(each) for each in seen[:-1]} == expected
    assert [each.object["metadata"]["uid"] for each in seen if reported(each) == (DELETED, "again")] == [first]
