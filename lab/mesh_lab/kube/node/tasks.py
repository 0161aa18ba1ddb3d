"""Ending a task that was started for a while."""

from __future__ import annotations

import asyncio
from typing import Any


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel `task` and wait until it has ended; what it failed with is raised.

    A cancellation of the caller meanwhile is the caller's own and goes on: to await the task and suppress
    CancelledError would swallow it, and whoever wants the caller to end would wait for its next pause.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (failure := task.exception()) is not None:
        raise failure
