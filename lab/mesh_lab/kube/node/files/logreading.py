"""Reads the log files that `logs` writes, for `kubectl logs`.

A follower reads the file, not the stream: the file is the buffer between a fast container and a slow reader.

The end of a log goes into the status and the events of a container that failed without a message of its own. A kubelet
does that only where the container asks for it (`terminationMessagePolicy: FallbackToLogsOnError`), which Istio's proxy
does not. https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import BinaryIO

from mesh_lab.kube.node.files.logs import LogFile, rotated
from mesh_lab.kube.streams import LogOptions
from mesh_lab.rfc3339 import nano_timestamp

_STAMP = len("2006-01-02T15:04:05.123456789Z")
_FLAG = _STAMP + len(" stdout ")
PREFIX = _FLAG + len("F ")
"""The length of time, stream and flag before each stored line."""
_BLOCK = 256 << 10
_TAIL_BYTES, _TAIL_LINES = 2048, 80
"""What a kubelet shows of the end of a log at most."""
_TAIL_READ = 64 << 10
_SHOWN = 300
_FRAME = re.compile(r"\[backtrace\]|^\s*#\d+:? |^\s+at \S|^goroutine \d+ |^\s+\S+\.go:\d+ ")
"""A frame of a stack trace, which does not say what went wrong."""


async def read(path: Path, options: LogOptions, live: LogFile | None) -> AsyncIterator[bytes]:
    """Yield the file's log lines that `options` select; with `follow` until `live`, its writer, is closed.

    Raises:
        FileNotFoundError: there is no log.
    """
    form = _Form(options)
    with contextlib.ExitStack() as stack:
        event = stack.enter_context(live.following()) if live is not None and options.follow else None
        files = _positioned(path, options.tail_lines)
        stack.callback(lambda: [file.close() for file in files])
        for file in files[:-1]:
            async for block in _rest(file, form):
                yield block
        while live is not None and event is not None:
            event.clear()
            ended, moved = (
                live.closed,
                _moved(files[-1], path),
            )  # evaluated first: what is written meanwhile is read below
            async for block in _rest(files[-1], form):
                yield block
            if form.full:
                return
            if moved:
                files[-1].close()
                files[-1] = path.open("rb")
            elif ended:
                return
            else:
                await event.wait()
        async for block in _rest(files[-1], form):
            yield block


class _Form:
    """Formats stored lines by the reader's options: timestamps, since when, how many bytes."""

    def __init__(self, options: LogOptions) -> None:
        self._timestamps = options.timestamps
        self._since = b""
        if options.since_time is not None:
            self._since = nano_timestamp(options.since_time).encode()
        self._left = options.limit_bytes
        self._within_line = False

    @property
    def full(self) -> bool:
        """Whether the limit of bytes is reached."""
        return self._left == 0

    def render(self, block: bytes) -> bytes:
        """The text of stored lines."""
        parts: list[bytes] = []
        for line in block.split(b"\n"):
            if len(line) < PREFIX or (self._since and line[:_STAMP] < self._since):
                continue
            if self._timestamps and not self._within_line:
                parts.append(line[: _STAMP + 1])
            parts.append(line[PREFIX:])
            self._within_line = line[_FLAG] == ord("P")
            if not self._within_line:
                parts.append(b"\n")
        text = b"".join(parts)
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text


def _positioned(path: Path, tail: int | None) -> list[BinaryIO]:
    """Open the files, oldest first, each positioned where the wanted lines begin."""
    files: list[BinaryIO] = [path.open("rb")]
    if tail is None or (tail := _seek_tail(files[0], tail)) > 0:
        with contextlib.suppress(FileNotFoundError):
            older = rotated(path).open("rb")
            if tail is not None:
                _seek_tail(older, tail)
            files.insert(0, older)
    return files


def _seek_tail(file: BinaryIO, lines: int) -> int:
    """Seek to where the file's last `lines` lines begin; return how many are missing."""
    end = file.seek(0, os.SEEK_END)
    if lines == 0:
        return 0
    missing = lines + 1  # the line that ends right before the first wanted one is counted, too
    for start, line in _backwards(file, end):
        if line[_FLAG : _FLAG + 1] != b"P":
            missing -= 1
        if missing == 0:
            file.seek(start + len(line) + 1)
            return 0
    file.seek(0)
    return missing - 1


def _backwards(file: BinaryIO, end: int) -> Iterator[tuple[int, bytes]]:
    """Yield the lines from the last to the first, without newlines, with the offset of each."""
    rest = b""
    while end > 0:
        size = min(_BLOCK, end)
        end -= size
        file.seek(end)
        block = file.read(size) + rest
        first, *lines = block.split(b"\n")
        start = end + len(block) + 1
        for line in reversed(lines):
            start -= len(line) + 1
            if line or start < end + len(block):  # after the last newline comes no line
                yield start, line
        rest = first
        if lines:
            rest += b"\n"
    if rest:
        yield 0, rest.rstrip(b"\n")


async def _rest(file: BinaryIO, form: _Form) -> AsyncIterator[bytes]:
    """Yield the text from the file's position to its end; an incomplete last line is left for the next read."""
    while not form.full:
        block = file.read(_BLOCK)
        whole, newline, begun = block.rpartition(b"\n")
        if not newline:
            return
        if begun:
            file.seek(-len(begun), os.SEEK_CUR)
        if text := form.render(whole):
            yield text
        await asyncio.sleep(0)  # a long log must not block the loop


def _moved(file: BinaryIO, path: Path) -> bool:
    """Return whether the file was rotated away."""
    try:
        return not os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def tail(path: Path) -> str:
    """Return the end of a log, without times and frames of stack traces; empty when there is none."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_READ))
        stored = file.read().split(b"\n")
        lines = [line[PREFIX:].decode(errors="replace") for line in stored if len(line) > PREFIX]
        kept = [line for line in lines if not _FRAME.search(line)][-_TAIL_LINES:]
        return "\n".join(kept).encode()[-_TAIL_BYTES:].decode(errors="ignore")
    return ""


def last_line(message: str) -> str:
    """Return the last line of a message that is not blank, shortened."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return lines[-1][:_SHOWN] if lines else ""
