"""Waiting for a condition that changes now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Signal:
    """Wakes its waiters on each change; they check their condition again."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()
        self.count = 0

    def fire(self) -> None:
        """Wake all waiters; `count` shows a waiter that was busy that it has missed a change."""
        self.count += 1
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait for the next `fire`; False when the time ran out."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.add(waiter)
        try:
            async with asyncio.timeout(seconds):
                await waiter
        except TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)
        return True

    async def until(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until a condition holds; False when the time ran out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while not condition():
            left = deadline - loop.time()
            if left <= 0 or not await self.wait(left):
                return condition()
        return True
