"""When garbage is collected."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mesh_lab import collecting


class Knot:
    """Something that only a collection can free."""

    def __init__(self) -> None:
        self.itself = self


@contextmanager
def collections() -> Iterator[list[int]]:
    """The generations that are collected meanwhile."""
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        yield seen
    finally:
        gc.callbacks.remove(note)


async def test_work_is_not_interrupted_and_its_garbage_goes_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "EVERY_SECONDS", 0.01)
    before = gc.get_threshold()
    task = asyncio.create_task(collecting.between_changes())
    await asyncio.sleep(0)
    gc.collect()
    with collections() as seen:
        made = [Knot() for _ in range(5000)]
        assert seen == []
        gone = asyncio.Event()
        last = weakref.ref(made[-1], lambda _: gone.set())
        made.clear()
        assert last() is not None
        await asyncio.wait_for(gone.wait(), 5)
    assert set(seen) == {1}
    task.cancel()
    await asyncio.wait({task})
    assert gc.get_threshold() == before


async def test_nothing_is_collected_where_nothing_was_made_or_collecting_is_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "EVERY_SECONDS", 0.001)
    task = asyncio.create_task(collecting.between_changes())
    await asyncio.sleep(0)
    gc.collect()
    with collections() as seen:
        await asyncio.sleep(0.05)
        assert seen == []
        gc.disable()
        try:
            kept = [Knot() for _ in range(2000)]
            await asyncio.sleep(0.05)
            assert seen == []
        finally:
            gc.enable()
        kept.clear()
    task.cancel()
    await asyncio.wait({task})
