"""Garbage collection when a program has nothing to do, in place of the moment in which a change is under way.

Python collects after every 700 new containers, and with every tenth time a few thousand: 2 to 7 ms in which a program
of one loop does nothing else. A route that is changed makes some hundreds of containers, so one change in a hundred
waited for that. Nearly all of them go by their reference counts; what is left can wait for a second.
"""

from __future__ import annotations

import asyncio
import gc

EVERY_SECONDS = 1.0
BURST = 50_000
"""How many new containers are collected at once, whatever is under way: a bound on what a burst of work leaves."""
_FEW = 700
"""Python's own bound, below which there is nothing worth a collection."""
_YOUNG = 1
"""The younger two of the three generations: what was made since the last time."""


async def between_changes() -> None:
    """Collect what is young once a second, until cancelled. When the old is due stays Python's to judge."""
    before = gc.get_threshold()
    gc.set_threshold(BURST, *before[1:])
    try:
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if gc.isenabled() and gc.get_count()[0] >= _FEW:
                gc.collect(_YOUNG)
    finally:
        gc.set_threshold(*before)
