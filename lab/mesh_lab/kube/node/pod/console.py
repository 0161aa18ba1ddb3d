"""The streams of a container's own process, for `kubectl attach` and `kubectl run -i`.

Output always goes to the log; attached clients get the same bytes as they arrive. A slow client does not block the
container: one that is too far behind is cut off.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import AsyncIterator

from mesh_lab.kube.node.client import Process
from mesh_lab.kube.node.files.logs import StreamReader
from mesh_lab.kube.node.pod.sessions import END_OF_INPUT, Pipe

BEHIND_LIMIT = 4 << 20
"""How many bytes an attached client may lag behind."""


class Console:
    """The streams of one start of a container. `stdin` is our end of its input, None when it has none."""

    def __init__(
        self, process: Process, readers: tuple[StreamReader, ...], stdin: int | None, *, tty: bool, once: bool
    ) -> None:
        self.readers = readers
        self.tty = tty
        self.once = once
        self.process = process
        self.stdin = None if stdin is None else Pipe(stdin, process)

    def close(self) -> None:
        """Read what the ended container still wrote, and close its streams."""
        for reader in self.readers:
            reader.drain()
        self.close_stdin()

    def close_stdin(self) -> None:
        """End the container's input."""
        if self.stdin is not None:
            self.stdin.close()


class _Tap:
    """Receives what one stream of the container writes from now on."""

    def __init__(self, reader: StreamReader) -> None:
        self._reader = reader
        self._arrived: list[bytes] = []
        self._behind = 0
        self._change = asyncio.Event()
        reader.taps.add(self._take)
        reader.ended.add_done_callback(self._end)

    def _take(self, data: bytes) -> None:
        self._arrived.append(data)
        self._behind += len(data)
        if self._behind > BEHIND_LIMIT:
            self.close()
        self._change.set()

    def _end(self, _: object) -> None:
        self._change.set()

    def close(self) -> None:
        """Stop receiving."""
        self._reader.taps.discard(self._take)
        self._reader.ended.remove_done_callback(self._end)
        self._change.set()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield chunks until the stream ends or the tap is closed."""
        while True:
            arrived, self._arrived, self._behind = self._arrived, [], 0
            for data in arrived:
                yield data
            if arrived:
                continue
            if self._reader.ended.done() or self._take not in self._reader.taps:
                return
            self._change.clear()
            await self._change.wait()


class Attachment:
    """An attached client; implements `mesh_lab.kube.streams.ExecSession`."""

    def __init__(self, console: Console, *, stdin: bool) -> None:
        self._console = console
        self._stdin = console.stdin if stdin else None
        self._taps = [_Tap(reader) for reader in console.readers]

    async def stdout(self) -> AsyncIterator[bytes]:
        """Yield what the container writes, until it ends."""
        async for chunk in self._taps[0].chunks():
            yield chunk

    async def stderr(self) -> AsyncIterator[bytes]:
        """Yield the same for standard error; nothing with a terminal."""
        if len(self._taps) > 1:
            async for chunk in self._taps[1].chunks():
                yield chunk

    async def write(self, data: bytes) -> None:
        """Write to the container's input; dropped when it has none."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """End the container's input, if it is for one client only (`stdinOnce`)."""
        if self._stdin is None or not self._console.once:
            return
        if self._console.tty:
            await self.write(END_OF_INPUT)
        else:
            self._console.close_stdin()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the container's terminal."""
        if self._console.tty and self._stdin is not None and self._stdin.descriptor >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._stdin.descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        """Wait for the container's end and return 0; its exit code is in its status."""
        await self._console.process.wait()
        return 0

    async def kill(self) -> None:
        """Detach. The container goes on; its input ends if it was for one client only (`stdinOnce`)."""
        for tap in self._taps:
            tap.close()
        if self._stdin is not None and self._console.once:
            self._console.close_stdin()
