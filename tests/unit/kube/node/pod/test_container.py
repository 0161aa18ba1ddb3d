"""Ending a task: its failure is raised, and the waiting caller can be cancelled meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from mesh_lab.kube.node.pod.container import end


async def test_a_task_is_cancelled_and_waited_for() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await end(task)
    assert ended.is_set()


async def test_the_exception_of_a_failed_task_is_raised() -> None:
    async def work() -> None:
        raise ValueError("broken")

    task = asyncio.create_task(work())
    await asyncio.wait({task})
    with pytest.raises(ValueError, match="broken"):
        await end(task)


async def test_a_cancellation_of_the_caller_is_not_swallowed() -> None:
    async def slow_to_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)

    async def caller(task: asyncio.Task[None]) -> str:
        await end(task)
        return "went on"

    task = asyncio.create_task(slow_to_end())
    waiting = asyncio.create_task(caller(task))
    await asyncio.sleep(0.01)  # both have begun
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait({task})
