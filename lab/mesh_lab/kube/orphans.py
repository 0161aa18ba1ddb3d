"""Reaping of orphans, which is the duty of a PID namespace's pid 1.

Orphans are containers' processes after the death of the runtime that started them. This process has children of its
own beside them, whose exit codes `subprocess` and asyncio wait for, so nothing may be reaped in their place. What
tells the two apart is the process group: the runtime begins a session for each process that it starts
(`mesh_lab.kube.node.runtime.process`), while our own children stay in our group.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

_LOOK_AGAIN_SECONDS = 0.1  # seconds that the starter of an own child gets to wait for it


class Reaper:
    """Reaps orphans whenever a child of this process has ended, in the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Reap from now on, until the loop ends."""
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._reap()

    def _reap(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not _reap_orphans():
            self._timer = self._loop.call_later(_LOOK_AGAIN_SECONDS, self._reap)


def _reap_orphans() -> bool:
    """Reap the orphans that have ended; False when an own child, which is not reaped here, may hide more of them."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            try:
                if os.getpgid(ended.si_pid) == os.getpgrp():
                    return False
                os.waitid(os.P_PID, ended.si_pid, os.WEXITED | os.WNOHANG)
            except ProcessLookupError:
                continue  # it was one of ours, which a thread of asyncio has just waited for
    return True
