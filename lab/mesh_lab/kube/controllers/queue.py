"""A work queue of keys: each key waits at most once and is processed by one worker at a time.

The semantics are those of client-go's workqueue: a key that is added while it is processed is processed again
afterwards; failures are requeued with back-off, 5 ms doubling to 16 s, until the key is forgotten.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from mesh_lab import backoff

Key = TypeVar("Key", bound=Hashable)

FIRST_DELAY_SECONDS = 0.005
LONGEST_DELAY_SECONDS = 16.0


class WorkQueue(Generic[Key]):
    """Bounded by the number of distinct keys."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._dirty: set[Key] = set()
        self._active: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is processed; delayed keys do not count."""
        return not self._dirty and not self._active

    def add(self, key: Key) -> None:
        """Enqueue the key."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._ready.append(key)
            self._wake()

    def add_after(self, key: Key, delay: float) -> None:
        """Enqueue the key in `delay` seconds; of several requests the earliest counts."""
        loop = asyncio.get_running_loop()
        when = loop.time() + delay
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= when:
                return
            timer.cancel()
        self._timers[key] = loop.call_at(when, self._expire, key)

    def requeue(self, key: Key) -> float:
        """Requeue the key after a failure, with back-off. Returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = backoff.delay(failures, FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS)
        self.add_after(key, delay)
        return delay

    def forget(self, key: Key) -> None:
        """Reset the key's back-off after a success."""
        self._failures.pop(key, None)

    async def get(self) -> Key:
        """Wait for the next key, which the caller must mark as `done`."""
        while not self._ready:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()
                raise
        key = self._ready.popleft()
        self._dirty.discard(key)
        self._active.add(key)
        return key

    def done(self, key: Key) -> None:
        """Mark the processing of the key as ended."""
        self._active.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            self._wake()

    def close(self) -> None:
        """Cancel all delayed keys."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _expire(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
