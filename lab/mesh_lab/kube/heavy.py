"""Work on large bodies and objects in a separate thread, so that other requests do not wait for it.

Small work is done at once: nearly all requests are small, and a thread would only cost them time. There is one thread:
large requests wait only for each other. What runs there must be plain Python
that works on values of its own, for the loop goes on meanwhile, and must be small steps for the interpreter, which
changes threads only between them.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

LIGHT_BYTES = 16 * 1024
"""Up to which size work is done at once; the slowest kind, server-side apply, takes some 10 ms for it."""
SWITCH_SECONDS = 0.001
"""How long the thread keeps the interpreter from the loop at a time; the kube process sets it."""

BODY_BYTES: ContextVar[int] = ContextVar("body", default=0)
"""How large the body of the request under way is."""

_P = ParamSpec("_P")
_R = TypeVar("_R")
_thread = ThreadPoolExecutor(1, thread_name_prefix="heavy")


async def run(size: int, work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run `work` and return its result.

    `size` is the size in bytes of what it works on, besides the body of the present request.
    """
    if max(size, BODY_BYTES.get()) <= LIGHT_BYTES:
        return work(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_thread, lambda: _uncollected(work, *args, **kwargs))


def _uncollected(work: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
    """Run `work` without the garbage collector, which traverses all objects in one step; cycles are few here."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        return work(*args, **kwargs)
    finally:
        if enabled:
            gc.enable()
