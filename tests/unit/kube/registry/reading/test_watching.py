"""Watches: complete, in order, filtered, and honest about gaps."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube import changes
from mesh_lab.kube import resources as kinds
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.registry import (
    ADDED,
    BOOKMARK,
    DELETED,
    MODIFIED,
    Event,
    Patch,
    PatchKind,
    Registry,
    Watch,
    bookmark,
)
from mesh_lab.kube.registry.reading.watching import INITIAL_EVENTS_END
from mesh_lab.kube.store import Store
from tests.unit.kube.registry.manifests import config_map


def drain(watch: Watch) -> list[Event]:
    found = []
    while (event := watch.poll()) is not None:
        found.append(event)
    return found


def told(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.type, event.object["metadata"].get("name", "")) for event in events]


async def label(registry: Registry, name: str, **labels: str | None) -> None:
    patch = Patch(PatchKind.MERGE, {"metadata": {"labels": labels}})
    await registry.patch(kinds.CONFIGMAPS, name, "default", patch)


async def test_a_watch_begins_with_the_present_objects_and_a_bookmark(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map("b"))
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    watch = registry.watch(kinds.CONFIGMAPS)
    events = drain(watch)
    assert told(events) == [(ADDED, "a"), (ADDED, "b"), (BOOKMARK, "")]
    assert events[-1].object["metadata"]["resourceVersion"] == str(registry.revision)
    assert events[-1].object["metadata"]["annotations"] == {INITIAL_EVENTS_END: "true"}
    await registry.delete(kinds.CONFIGMAPS, "a", "default")
    assert told(drain(watch)) == [(DELETED, "a")]


async def test_a_watch_from_a_revision_has_only_later_changes(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    since = registry.revision
    await registry.create(kinds.CONFIGMAPS, config_map("b"))
    await registry.update(kinds.CONFIGMAPS, config_map("a", x="y"))
    assert told(drain(registry.watch(kinds.CONFIGMAPS, since=since))) == [(ADDED, "b"), (MODIFIED, "a")]


async def test_a_watch_keeps_to_its_namespace(registry: Registry) -> None:
    watch = registry.watch(kinds.CONFIGMAPS, "kube-system", since=registry.revision)
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    await registry.create(kinds.CONFIGMAPS, {"metadata": {"name": "b"}}, namespace="kube-system")
    assert told(drain(watch)) == [(ADDED, "b")]


async def test_an_object_that_leaves_the_selection_is_deleted_to_the_watcher(registry: Registry) -> None:
    watch = registry.watch(kinds.CONFIGMAPS, since=registry.revision, labels="app=web")
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    await label(registry, "a", app="web")
    await label(registry, "a", more="x")
    await label(registry, "a", app=None)
    await label(registry, "a", more="y")
    await label(registry, "a", app="web")
    await registry.delete(kinds.CONFIGMAPS, "a", "default")
    assert [event.type for event in drain(watch)] == [ADDED, MODIFIED, DELETED, ADDED, DELETED]


async def test_a_watcher_waits_for_the_next_event(registry: Registry) -> None:
    watch = registry.watch(kinds.CONFIGMAPS, since=registry.revision)
    waiting = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    assert not waiting.done()
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    assert told([await waiting]) == [(ADDED, "a")]


async def test_closing_a_watch_ends_its_reader(registry: Registry) -> None:
    async def read(watch: Watch) -> list[Event]:
        return [event async for event in watch]

    with registry.watch(kinds.CONFIGMAPS, since=registry.revision) as watch:
        reader = asyncio.create_task(read(watch))
        await registry.create(kinds.CONFIGMAPS, config_map("a"))
        await asyncio.sleep(0)
    assert told(await asyncio.wait_for(reader, 5)) == [(ADDED, "a")]


async def test_a_cancelled_reader_loses_nothing(registry: Registry) -> None:
    watch = registry.watch(kinds.CONFIGMAPS, since=registry.revision)
    reader = asyncio.ensure_future(anext(watch))
    await asyncio.sleep(0)
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    assert told([await anext(watch)]) == [(ADDED, "a")]


async def test_an_event_is_encoded_once_for_all(registry: Registry) -> None:
    watches = [registry.watch(kinds.CONFIGMAPS, since=registry.revision) for _ in range(3)]
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    lines = [drain(watch)[0].line for watch in watches]
    assert lines[0] is lines[1] is lines[2]
    assert orjson.loads(lines[0]) == {"type": ADDED, "object": registry.get(kinds.CONFIGMAPS, "a", "default")}
    assert lines[0].endswith(b"}\n")


async def test_a_watch_of_changes_that_are_no_longer_kept_ends_with_410(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT_CHANGES", 3)
    monkeypatch.setattr(changes, "KEPT_SECONDS", 0)
    monkeypatch.setattr(changes, "_BATCH", 1)
    start = registry.revision
    slow = registry.watch(kinds.CONFIGMAPS, since=start)
    for index in range(9):
        await registry.create(kinds.CONFIGMAPS, config_map(f"c{index}"))
    for look in (slow.poll, lambda: registry.watch(kinds.CONFIGMAPS, since=start)):
        with pytest.raises(ApiError) as caught:
            look()
        assert caught.value.code == 410
    with pytest.raises(ApiError) as caught:
        registry.watch(kinds.CONFIGMAPS, since=registry.revision + 1)
    assert caught.value.code == 504


async def test_a_watch_goes_on_from_where_it_was_thousands_of_changes_ago(registry: Registry) -> None:
    start = registry.revision
    await registry.create(
        kinds.CONFIGMAPS,
        {**config_map("mine"), "metadata": {"name": "mine", "namespace": "default", "labels": {"a": "b"}}},
    )
    await registry.create(kinds.CONFIGMAPS, config_map("others"))
    for index in range(2 * changes.KEPT_CHANGES):
        await registry.modify(
            kinds.CONFIGMAPS, "others", "default", lambda found, index=index: found | {"data": {"n": str(index)}}
        )
    await registry.delete(kinds.CONFIGMAPS, "mine", "default")
    with registry.watch(kinds.CONFIGMAPS, since=start, labels="a=b") as watch:
        async with asyncio.timeout(30):
            events = [await anext(watch), await anext(watch)]
    assert [(event.type, event.object["metadata"]["name"]) for event in events] == [(ADDED, "mine"), (DELETED, "mine")]


async def test_an_invalid_selector_is_refused(registry: Registry) -> None:
    with pytest.raises(ApiError, match="field label not supported"):
        registry.watch(kinds.CONFIGMAPS, fields="data.x=y")


def test_a_bookmark_has_a_revision_and_nothing_else() -> None:
    assert bookmark("v1", "Pod", 7).object == {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"resourceVersion": "7", "creationTimestamp": None},
    }


_STEPS = st.lists(
    st.tuples(st.sampled_from(["create", "change", "web", "other", "delete", "look"]), st.sampled_from("abc")),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(_STEPS)
async def test_a_watcher_that_applies_its_events_knows_what_a_list_says(steps: list[tuple[str, str]]) -> None:
    """The contract that every controller stands on, with and without a selector, whenever the watcher looks."""
    registry = Registry(Store())
    await registry.bootstrap()
    watches = {selector: registry.watch(kinds.CONFIGMAPS, labels=selector) for selector in ("", "app=web", "app!=web")}
    known: dict[str, dict[str, Any]] = {selector: {} for selector in watches}

    def look() -> None:
        for selector, watch in watches.items():
            mine = known[selector]
            for event in drain(watch):
                name = event.object["metadata"].get("name")
                if event.type == ADDED:
                    assert name not in mine
                    mine[name] = event.object
                elif event.type == MODIFIED:
                    assert name in mine
                    mine[name] = event.object
                elif event.type == DELETED:
                    del mine[name]
            present = registry.list(kinds.CONFIGMAPS, labels=selector)
            assert [mine[name] for name in sorted(mine)] == present

    for number, (step, name) in enumerate(steps):
        there = registry.find(kinds.CONFIGMAPS, name, "default") is not None
        if step == "look":
            look()
        elif step == "create" and not there:
            await registry.create(kinds.CONFIGMAPS, config_map(name))
        elif step == "change" and there:
            await label(registry, name, number=str(number))
        elif step in ("web", "other") and there:
            await label(registry, name, app=step)
        elif step == "delete" and there:
            await registry.delete(kinds.CONFIGMAPS, name, "default")
    look()


async def test_what_watchers_make_of_changes_is_kept_for_the_latest_only(registry: Registry) -> None:
    await registry.create(kinds.CONFIGMAPS, config_map("a"))
    first, second = registry.watch(kinds.CONFIGMAPS), registry.watch(kinds.CONFIGMAPS)
    for watch in (first, second):
        drain(watch)
    for number in range(changes.KEPT_RENDERED + 3):
        await label(registry, "a", n=str(number))
    log = registry.store.log("configmaps")
    events = drain(first)
    kept = [change for change in log.after(log.compacted) if change.shared]
    assert len(kept) == changes.KEPT_RENDERED
    assert kept[-1].revision == registry.revision
    again = drain(second)
    assert [event.object for event in again] == [event.object for event in events]
    assert again[-1] is events[-1]
    assert sum(1 for change in log.after(log.compacted) if change.shared) == changes.KEPT_RENDERED
