"""Containers' output: from their pipes into files, which `logreading` reads.

The files are in the CRI format (`TIME stdout F line`), as a kubelet keeps them. Their names are `N.log` for the N-th
start of the container; a file that grew to its limit becomes `N.log.1`, which the next such file replaces.

Output is handled a pipe's content at a time, not a line at a time: one timestamp and one write for all lines that
arrived together. A container that writes faster than that finds its pipe full and waits; nothing is kept in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

log = logging.getLogger(__name__)

FILE_LIMIT = 10 << 20
LINE_LIMIT = 16 << 10
_PIPE = 256 << 10
_PAUSE = 0.01  # between reads, so that a chatty container is one wake-up in 10 ms and not one a line
_SHARE = 4  # a long chunk is followed by a pause of so many times what it took: output gets a fifth of the loop at most


class LogFile:
    """The file of one start of one container, written by its two streams; `changed` wakes those who follow it."""

    def __init__(self, path: Path, limit: int = FILE_LIMIT) -> None:
        self.path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        self._full = False
        self._followers: set[asyncio.Event] = set()
        self.closed = False

    def append(self, data: bytes) -> None:
        """Write formatted lines.

        On a full disk they are lost, which is said once: the container must not stop for it.
        """
        try:
            os.write(self._descriptor, data)
            self._full = False
        except OSError as error:
            if not self._full:
                log.warning("output of %s is lost: %s", self.path, error.strerror)
            self._full = True
        self._size += len(data)
        if self._size >= self._limit:
            self._rotate()
        for follower in self._followers:
            follower.set()

    def _rotate(self) -> None:
        with contextlib.suppress(OSError):
            self.path.rename(rotated(self.path))
            os.close(self._descriptor)
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._size = 0

    def close(self) -> None:
        """No more will be written."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)
            for follower in self._followers:
                follower.set()

    @contextlib.contextmanager
    def following(self) -> Iterator[asyncio.Event]:
        """An event that is set when the file grows or is closed."""
        event = asyncio.Event()
        self._followers.add(event)
        try:
            yield event
        finally:
            self._followers.discard(event)


class StreamReader:
    """Moves one stream of a container from its pipe into the log file."""

    def __init__(self, descriptor: int, name: str, file: LogFile) -> None:
        self._descriptor = descriptor
        self._middle = f" {name} F ".encode()
        self._partial = f" {name} P ".encode()
        self._file = file
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # the user's pipes may be at their limit; the usual size does
            fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _PIPE)
        self._listen()

    def _listen(self) -> None:
        self._timer = None
        self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        began = time.perf_counter()
        try:
            data = os.read(self._descriptor, _PIPE)
        except BlockingIOError:
            return
        if not data:
            self.finish()
            return
        self._take(data)
        self._loop.remove_reader(self._descriptor)
        pause = max(_PAUSE if len(data) < _PIPE // 2 else 0, _SHARE * (time.perf_counter() - began))
        self._timer = self._loop.call_later(pause, self._listen)

    def drain(self) -> None:
        """Take what the pipe holds now and stop: the container has ended, and what it wrote is in the pipe."""
        with contextlib.suppress(BlockingIOError, OSError):
            while not self.ended.done() and (data := os.read(self._descriptor, _PIPE)):
                self._take(data)
        self.finish()

    def finish(self) -> None:
        """Close the pipe; a line without an end is written as it is."""
        if self.ended.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._descriptor)
        os.close(self._descriptor)
        if self._rest:
            self._file.append(stamp() + self._middle + self._rest + b"\n")
            self._rest = b""
        self.ended.set_result(None)

    def _take(self, data: bytes) -> None:
        whole, newline, rest = (self._rest + data).rpartition(b"\n")
        now = stamp()
        text = b""
        if newline:
            prefix = now + self._middle
            text = prefix + whole.replace(b"\n", b"\n" + prefix) + b"\n"
        while len(rest) >= LINE_LIMIT:
            text += now + self._partial + rest[:LINE_LIMIT] + b"\n"
            rest = rest[LINE_LIMIT:]
        self._rest = rest
        if text:
            self._file.append(text)


def stamp() -> bytes:
    """Now, as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode() + b".%09dZ" % nanoseconds


def forget(directory: Path, number: int) -> None:
    """Delete the log of the container's start of that number, if there was one."""
    path = directory / f"{number}.log"
    path.unlink(missing_ok=True)
    rotated(path).unlink(missing_ok=True)


def rotated(path: Path) -> Path:
    """Where the file's older part is."""
    return path.with_name(path.name + ".1")
