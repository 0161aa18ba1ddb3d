"""The work queue: each key waits once, is worked on by one at a time, and comes back after failures."""

from __future__ import annotations

import asyncio

from mesh_lab.kube.controllers.queue import FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS, WorkQueue


async def test_a_waiting_key_is_queued_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_added_while_it_is_processed_is_requeued_afterwards() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0, "two workers would have the same key"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle


async def test_delays_double_until_the_longest_and_start_anew_after_success() -> None:
    queue: WorkQueue[str] = WorkQueue()
    delays = [queue.requeue("a") for _ in range(14)]
    assert delays[:3] == [FIRST_DELAY_SECONDS, 2 * FIRST_DELAY_SECONDS, 4 * FIRST_DELAY_SECONDS]
    assert delays[-1] == LONGEST_DELAY_SECONDS
    queue.forget("a")
    assert queue.requeue("a") == FIRST_DELAY_SECONDS
    queue.close()


async def test_of_two_delayed_requests_the_earlier_is_kept() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add_after("a", 60)
    queue.add_after("a", 0.001)
    async with asyncio.timeout(5):
        assert await queue.get() == "a"
    queue.close()


async def test_the_key_of_a_cancelled_worker_goes_to_another() -> None:
    queue: WorkQueue[str] = WorkQueue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == "a"
