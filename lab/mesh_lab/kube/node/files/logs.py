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
import math
import mmap
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from mesh_lab.rfc3339 import nano_timestamp

log = logging.getLogger(__name__)

FILE_LIMIT = 10 << 20
LINE_LIMIT = 16 << 10
_PIPE = 256 << 10
_LARGEST_PIPE = 1 << 20  # for a stream of much output; the most that an ordinary user may set
_PIECE = 64 << 10  # what is copied at a time: larger blocks of memory go back to the kernel when they are freed
_PAUSE_SECONDS = 0.01  # between reads: one wake-up in 10 ms, not one a line
_LONGEST_PAUSE_SECONDS = 0.05  # for a stream of much output; followers lag this much behind
_FEW = 4 << 10
_SHARE = 4  # the pause after a long chunk, in times of its handling: output gets a fifth of the loop at most

_buffer = mmap.mmap(-1, _LARGEST_PIPE)
"""What all streams are read into: they are read one after another, in one loop. Most reads are a few lines, and of a
mapping only what has been read into is in memory.
"""
_view = memoryview(_buffer)


class LogFile:
    """The file of one start of one container, written by its two streams; `changed` wakes its followers."""

    def __init__(self, path: Path, limit: int = FILE_LIMIT) -> None:
        self.path = path
        self._limit = limit
        path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._descriptor).st_size
        self._full = False
        self._followers: set[asyncio.Event] = set()
        self.closed = False

    def append(self, *parts: bytes) -> None:
        """Write formatted lines, given in parts.

        On a full disk they are lost, which is logged once: the container must not stop for it.
        """
        try:
            os.writev(self._descriptor, parts)
            self._full = False
        except OSError as error:
            if not self._full:
                log.warning("output of %s is lost: %s", self.path, error.strerror)
            self._full = True
        self._size += sum(map(len, parts))
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
        """Close the file; nothing more is written."""
        if not self.closed:
            self.closed = True
            os.close(self._descriptor)
            for follower in self._followers:
                follower.set()

    @contextlib.contextmanager
    def following(self) -> Iterator[asyncio.Event]:
        """Register an event that is set when the file grows or is closed."""
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
        self._half_full = self._set_size(_PIPE) // 2
        self.taps: set[Callable[[bytes], None]] = set()
        """Called with all that arrives, as it arrives."""
        self._last_read = 0.0
        self._listen()

    def _set_size(self, wanted: int) -> int:
        """Set the pipe's capacity, if allowed; return its capacity."""
        with contextlib.suppress(OSError):  # the user's pipes may be at their limit; the usual size does
            return fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, wanted)
        with contextlib.suppress(OSError):
            return fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
        return _PIPE  # a terminal has no size

    def _listen(self) -> None:
        self._loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        self._loop.remove_reader(self._descriptor)
        self._read()

    def _read(self) -> None:
        """Read what the pipe holds, and again after a pause; add a reader to the loop once it is empty.

        A container that goes on writing costs a timer for each read, and no change of what the loop listens to.
        """
        self._timer = None
        began = time.perf_counter()
        try:
            size = os.readv(self._descriptor, [_buffer])
        except BlockingIOError:
            self._listen()
            return
        except OSError:  # a terminal whose other end is closed
            size = 0
        if not size:
            self.finish()
            return
        self._take(size)
        pause = max(self._until_half_full(size, began), _SHARE * (time.perf_counter() - began))
        self._timer = self._loop.call_at(together(self._loop.time(), pause), self._read)

    def _until_half_full(self, size: int, now: float) -> float:
        """Return the seconds until the pipe is about half full at the present rate: wake-ups are what costs."""
        since, self._last_read = now - self._last_read, now
        if size * _LONGEST_PAUSE_SECONDS > self._half_full * since and self._half_full < _LARGEST_PIPE // 2:
            self._half_full = max(self._half_full, self._set_size(_LARGEST_PIPE) // 2)
        if size >= self._half_full:
            return 0
        return (
            _PAUSE_SECONDS
            if size < _FEW
            else min(max(_PAUSE_SECONDS, since * self._half_full / size), _LONGEST_PAUSE_SECONDS)
        )

    def drain(self) -> None:
        """Read what the pipe still holds and stop, after the container has ended."""
        with contextlib.suppress(BlockingIOError, OSError):
            while not self.ended.done() and (size := os.readv(self._descriptor, [_buffer])):
                self._take(size)
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
            self._file.append(nano_timestamp().encode() + self._middle, self._rest, b"\n")
            self._rest = b""
        self.ended.set_result(None)

    def _take(self, size: int) -> None:
        """Write the lines that the buffer's first `size` bytes end."""
        for tap in tuple(self.taps):
            tap(bytes(_view[:size]))
        now = nano_timestamp().encode()
        prefix = now + self._middle
        start = 0
        while start < size:
            end = min(start + _PIECE, size)
            cut = _buffer.rfind(b"\n", start, end)
            if cut >= 0:
                lines = self._rest + _view[start:cut]
                self._file.append(prefix, lines.replace(b"\n", b"\n" + prefix), b"\n")
                self._rest, end = b"", cut + 1
            else:
                self._rest = self._put_parts(self._rest + _view[start:end], now + self._partial)
            start = end

    def _put_parts(self, line: bytes, prefix: bytes) -> bytes:
        """Write what is too long to be kept of a line that has not ended; the rest of it."""
        while len(line) >= LINE_LIMIT:
            self._file.append(prefix, line[:LINE_LIMIT], b"\n")
            line = line[LINE_LIMIT:]
        return line


def together(now: float, pause: float) -> float:
    """Return when to read next, within `pause` seconds, aligned with the other streams.

    A wake-up of the loop finds cold caches; what it costs is shared by all streams that are read in it.
    """
    grid = _LONGEST_PAUSE_SECONDS if pause >= _LONGEST_PAUSE_SECONDS else _PAUSE_SECONDS
    if pause < grid:
        return now + pause
    return math.floor((now + pause) / grid) * grid


def forget(directory: Path, number: int) -> None:
    """Delete the log of the container's start of that number, if there was one."""
    path = directory / f"{number}.log"
    path.unlink(missing_ok=True)
    rotated(path).unlink(missing_ok=True)


def rotated(path: Path) -> Path:
    """Return the path of the file's rotated part."""
    return path.with_name(path.name + ".1")
