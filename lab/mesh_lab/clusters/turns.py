"""One `up` of a lab at a time: a second one waits until the first is done.

Two that install at once trip over each other's objects, and the one that fails would take down what the other brings
up. Each kind of cluster locks its own state for what may never happen twice; this lock is held for the whole of `up`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from mesh_lab.clusters.base import Report
from mesh_lab.errors import LabError

LOCK_NAME = "up.lock"
_POLL_SECONDS = 0.05


@contextlib.contextmanager
def turn(state: Path, limit: float, report: Report) -> Iterator[None]:
    """Hold the turn of the lab whose state directory is `state`; wait at most `limit` seconds for another `up`.

    Raises:
        LabError: another `up` was still not done; the message names its process.
    """
    deadline = time.monotonic() + limit
    while True:
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = (state / LOCK_NAME).open("a+b")
        except OSError:
            # If the lock cannot be made, neither can the lab, and the cluster's own check says what to do about it.
            yield
            return
        with lock:
            _acquire(lock, state, deadline, report)
            if not _has_its_name(lock, state):
                continue
            lock.truncate(0)
            lock.write(b"%d\n" % os.getpid())
            lock.flush()
            yield
            return


def _acquire(lock: BinaryIO, state: Path, deadline: float, report: Report) -> None:
    reported = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(32).decode("ascii", "replace").strip() or "unknown"
        else:
            return
        if time.monotonic() > deadline:
            raise LabError(
                f"another command (process {holder}) has been bringing up the lab in {state} all the time",
                hint="Wait until it is done, or end it.",
            )
        if not reported:
            report(f"another command (process {holder}) is bringing this lab up; waiting for it")
            reported = True
        time.sleep(_POLL_SECONDS)


def _has_its_name(lock: BinaryIO, state: Path) -> bool:
    """Whether the file is still the one of that name: `reset` deletes it with the rest of the state."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), (state / LOCK_NAME).stat())
    except FileNotFoundError:
        return False
