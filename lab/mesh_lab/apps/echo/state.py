"""What the echo server remembers: attempts by request id, and requests held open. Both are bounded."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

MAX_IDS = 20_000
MAX_HELD = 10_000


class Attempts:
    """How often each request id has arrived; the least recently seen id is forgotten first."""

    def __init__(self, limit: int = MAX_IDS) -> None:
        self._limit = limit
        self._counts: OrderedDict[str, int] = OrderedDict()
        self.total = 0

    def count(self, request_id: str) -> int:
        """Count an arrival; returns the attempt's number, from 1. Without an id only the total counts."""
        self.total += 1
        if not request_id:
            return 1
        attempt = self._counts.get(request_id, 0) + 1
        self._counts[request_id] = attempt
        self._counts.move_to_end(request_id)
        if len(self._counts) > self._limit:
            self._counts.popitem(last=False)
        return attempt

    def of(self, request_id: str) -> int:
        """Arrivals of one id."""
        return self._counts.get(request_id, 0)

    def all(self) -> dict[str, int]:
        """Arrivals by id, oldest first."""
        return dict(self._counts)

    def reset(self) -> None:
        """Forget everything."""
        self._counts.clear()
        self.total = 0


class Gate:
    """Requests held open in groups until a group is released."""

    def __init__(self) -> None:
        self._held: dict[str, set[asyncio.Future[None]]] = {}

    async def hold(self, group: str, limit: float) -> bool:
        """Wait for the release of the group; False when `limit` seconds pass first, or too many are held."""
        if self.holding() >= MAX_HELD:
            return False
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.setdefault(group, set()).add(released)
        try:
            async with asyncio.timeout(limit):
                await released
        except TimeoutError:
            return False
        finally:
            group_held = self._held.get(group, set())
            group_held.discard(released)
            if not group_held:
                self._held.pop(group, None)
        return True

    def release(self, group: str | None = None) -> int:
        """Let a group go (or all); returns how many were waiting."""
        names = list(self._held) if group is None else [group]
        waiting = [future for name in names for future in self._held.pop(name, set())]
        for future in waiting:
            if not future.done():
                future.set_result(None)
        return len(waiting)

    def holding(self, group: str | None = None) -> int:
        """How many wait, in a group or in all."""
        if group is not None:
            return len(self._held.get(group, ()))
        return sum(len(held) for held in self._held.values())
