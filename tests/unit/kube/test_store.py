"""The store: what is committed is seen, by all, in order; what is acknowledged is never lost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.kube import changes
from mesh_lab.kube.changes import Log
from mesh_lab.kube.errors import ApiError
from mesh_lab.kube.journal import Journal, JournalError
from mesh_lab.kube.records import Record
from mesh_lab.kube.store import Store


def thing(name: str, **data: Any) -> dict[str, Any]:
    return {"kind": "Thing", "apiVersion": "v1", "metadata": {"name": name, "namespace": "ns"}, "data": data}


class HeldJournal(Journal):
    """A journal whose disk takes its time: each commit waits until it is released."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.released = threading.Event()
        self.batches: list[int] = []

    def commit(self, batch: Sequence[Record]) -> None:
        assert self.released.wait(10)
        self.batches.append(len(batch))
        super().commit(batch)


class FailingJournal(HeldJournal):
    """Its disk is full for one commit, and has room again for the next."""

    failed = False

    def commit(self, batch: Sequence[Record]) -> None:
        if self.failed:
            super().commit(batch)
            return
        assert self.released.wait(10)
        self.failed = True
        raise JournalError("cannot write the journal")


async def test_a_write_is_seen_by_writers_at_once_and_by_readers_when_it_is_committed(tmp_path: Path) -> None:
    journal = HeldJournal(tmp_path / "journal.db")
    store = Store(journal)
    position = store.log("things").position(store.revision)
    write = store.put("things", "ns", "a", thing("a"))
    await asyncio.sleep(0)
    assert store.head("things", "ns", "a") is not None
    assert store.get("things", "ns", "a") is None
    assert store.objects("things") == []
    assert store.log("things").at(position) is None
    journal.released.set()
    stored = await write
    assert store.get("things", "ns", "a") is stored
    change = store.log("things").at(position)
    assert change is not None
    assert change.object is stored
    assert store.revision == change.revision == int(stored["metadata"]["resourceVersion"])
    await store.close()


async def test_writes_that_arrive_during_a_commit_share_the_next_one(tmp_path: Path) -> None:
    journal = HeldJournal(tmp_path / "journal.db")
    store = Store(journal)
    first = store.put("things", "ns", "a", thing("a"))
    await asyncio.sleep(0)
    rest = [store.put("things", "ns", f"b{i}", thing(f"b{i}")) for i in range(50)]
    journal.released.set()
    await asyncio.gather(first, *rest)
    assert journal.batches == [1, 50]
    await store.close()


async def test_a_failed_commit_leaves_everything_as_it_was_and_fails_what_builds_on_it(tmp_path: Path) -> None:
    journal = FailingJournal(tmp_path / "journal.db")
    store = Store(journal)
    first = store.put("things", "ns", "a", thing("a"))
    await asyncio.sleep(0)
    second = store.put("things", "ns", "a", thing("a", more=1))
    waiting = asyncio.create_task(store.settled("things", "ns", "a"))
    await asyncio.sleep(0)
    journal.released.set()
    results = await asyncio.gather(first, second, waiting, return_exceptions=True)
    assert [getattr(error, "code", None) for error in results] == [507, 507, 507]
    assert "had no effect" in str(results[0])
    assert store.head("things", "ns", "a") is None
    assert store.objects("things") == []
    stored = await store.put("things", "ns", "b", thing("b"))
    assert store.objects("things") == [stored]
    await store.close()


async def test_a_cancelled_writer_does_not_take_its_write_back(tmp_path: Path) -> None:
    journal = HeldJournal(tmp_path / "journal.db")
    store = Store(journal)

    async def write() -> None:
        await store.put("things", "ns", "a", thing("a"))

    task = asyncio.create_task(write())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    journal.released.set()
    await store.settled("things", "ns", "a")
    assert store.get("things", "ns", "a") is not None
    await store.close()


async def test_removing_a_missing_object_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        Store().remove("things", "ns", "a")


async def test_a_deletion_has_a_revision_of_its_own() -> None:
    store = Store()
    stored = await store.put("things", "ns", "a", thing("a"))
    last = await store.remove("things", "ns", "a")
    assert int(last["metadata"]["resourceVersion"]) == int(stored["metadata"]["resourceVersion"]) + 1
    assert stored["metadata"]["resourceVersion"] != last["metadata"]["resourceVersion"]
    assert store.count("things") == 0


async def test_a_list_can_be_read_at_an_earlier_revision() -> None:
    store = Store()
    await store.put("things", "ns", "a", thing("a", v=1))
    await store.put("things", "ns", "b", thing("b", v=1))
    then, expected = store.revision, store.objects("things")
    await store.put("things", "ns", "a", thing("a", v=2))
    await store.remove("things", "ns", "b")
    await store.put("things", "ns", "c", thing("c"))
    await store.put("things", "elsewhere", "d", thing("d"))
    assert store.objects_at("things", "ns", then) == expected
    with pytest.raises(ApiError) as caught:
        store.objects_at("things", "ns", store.revision + 1)
    assert caught.value.code == 504


async def test_reading_from_a_forgotten_revision_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT_CHANGES", 4)
    monkeypatch.setattr(changes, "KEPT_SECONDS", 0)
    monkeypatch.setattr(changes, "_BATCH", 1)
    store = Store()
    start = store.revision
    slow = store.log("things").position(start)
    for index in range(9):
        await store.put("things", "ns", "a", thing("a", v=index))
    log: Log = store.log("things")
    assert [change.object["data"]["v"] for change in log.after(log.compacted)] == [5, 6, 7, 8]
    for look in (lambda: log.position(start), lambda: log.at(slow)):
        with pytest.raises(ApiError) as caught:
            look()
        assert (caught.value.code, caught.value.reason) == (410, "Expired")


async def test_the_log_goes_back_for_five_minutes_however_much_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store()
    now = 1000.0
    monkeypatch.setattr(changes.time, "monotonic", lambda: now)
    seen = []
    for index in range(changes.KEPT_CHANGES * 5):
        stored = await store.put("things", "ns", f"t{index % 7}", thing(f"t{index % 7}", v=index))
        seen.append(stored)
        now += 0.05
    log = store.log("things")
    begin = log.position(1)
    for index, stored in enumerate(seen):
        change = log.at(begin + index)
        assert change is not None
        assert change.object == stored
        assert change.old == (seen[index - 7] if index >= 7 else None)
    half = seen[2500]
    at_half = store.objects_at("things", "ns", int(half["metadata"]["resourceVersion"]))
    assert {o["data"]["v"] for o in at_half} == set(range(2494, 2501))
    now += changes.KEPT_SECONDS
    await store.put("things", "ns", "last", thing("last"))
    with pytest.raises(ApiError, match="too old resource version"):
        log.position(1)
    assert len(log.after(log.compacted)) >= changes.KEPT_CHANGES


async def test_the_log_is_bounded_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "KEPT_CHANGES", 10)
    monkeypatch.setattr(changes, "KEPT_BYTES", 100_000)
    store = Store()
    for index in range(300):
        await store.put("things", "ns", "a", thing("a", v=index, padding="x" * 1000))
    log = store.log("things")
    assert 60 < len(log.after(log.compacted)) < 130
    assert store.objects_at("things", "ns", log.compacted + 50)[0]["data"]["v"] == log.compacted + 50 - 2
    await store.remove("things", "ns", "a")
    for index in range(300):
        await store.put("things", "ns", f"b{index}", thing(f"b{index}", padding="x" * 1000))
    assert len(log._last) < 130


Write = tuple[str, str]
_WRITES = st.lists(
    st.tuples(st.sampled_from(["put", "put", "remove", "restart", "pause"]), st.sampled_from("abcd")), max_size=60
)


@settings(
    max_examples=60,
    deadline=None,
)
@given(_WRITES)
async def test_nothing_is_lost_or_reordered_over_restarts(tmp_path_factory: Any, writes: list[Write]) -> None:
    """Against a model: the state after any schedule is that of the writes in order, and watchers saw each of them."""
    path = tmp_path_factory.mktemp("store") / "journal.db"
    store = Store.open(path)
    model: dict[str, int] = {}
    last = store.revision
    seen: list[int] = []
    pending: list[asyncio.Future[Any]] = []
    position = store.log("things").position(last)
    for number, (action, name) in enumerate(writes):
        if action == "put":
            pending.append(store.put("things", "ns", name, thing(name, n=number)))
            model[name] = number
        elif action == "remove" and name in model:
            pending.append(store.remove("things", "ns", name))
            del model[name]
        elif action == "pause":
            await asyncio.sleep(0)
        elif action == "restart":
            await asyncio.gather(*pending)
            seen += _revisions(store, position)
            await store.close()
            store = Store.open(path)
            assert store.revision == max([last, *map(_of, pending)])
            last, pending = store.revision, []
            position = store.log("things").position(last)
    await asyncio.gather(*pending)
    seen += _revisions(store, position)
    assert seen == sorted(set(seen))
    assert len(seen) == sum(1 for action, _ in writes if action == "put") + _removals(writes)
    await store.close()
    again = Store.open(path)
    assert {o["metadata"]["name"]: o["data"]["n"] for o in again.objects("things")} == model
    await again.close()


def _of(done: asyncio.Future[Any]) -> int:
    return int(done.result()["metadata"]["resourceVersion"])


def _revisions(store: Store, position: int) -> list[int]:
    found = []
    while (change := store.log("things").at(position)) is not None:
        found.append(change.revision)
        position += 1
    return found


def _removals(writes: list[Write]) -> int:
    present: set[str] = set()
    count = 0
    for action, name in writes:
        if action == "put":
            present.add(name)
        elif action == "remove" and name in present:
            present.remove(name)
            count += 1
    return count
