"""Commands that run inside a container beside its own: `kubectl exec`, exec probes, hooks."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import AsyncIterator, Awaitable, Callable

from mesh_lab.kube.node.client import Process, Runtime
from mesh_lab.kube.node.runtime.wire import Message

_CHUNK = 64 << 10
END_OF_INPUT = b"\x04"  # ^D, the end of a terminal's input


class Pipe:
    """Our end of one stream of the command. It reads and writes without blocking, until the command has ended."""

    def __init__(self, descriptor: int, process: Process) -> None:
        self.descriptor = descriptor
        self._process = process
        os.set_blocking(descriptor, False)

    def close(self) -> None:
        """Close it; idempotent."""
        if self.descriptor < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self.descriptor)
        loop.remove_writer(self.descriptor)
        os.close(self.descriptor)
        self.descriptor = -1

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield what arrives until the stream or the command ends.

        A process that inherited the stream may keep it open longer, which is not waited for.
        """
        try:
            while self.descriptor >= 0:
                ended = self._process.ended.done()  # read first: then all that it wrote is there to read
                try:
                    data = os.read(self.descriptor, _CHUNK)
                except BlockingIOError:
                    if ended:
                        return
                    await self._ready(writing=False)
                    continue
                except OSError:  # a terminal whose other end is closed
                    return
                if not data:
                    return
                yield data
        finally:
            self.close()

    async def write(self, data: bytes) -> None:
        """Write all data, unless the other end is closed or the command ends before."""
        view = memoryview(data)
        while view and self.descriptor >= 0 and not self._process.ended.done():
            try:
                view = view[os.write(self.descriptor, view) :]
            except BlockingIOError:
                await self._ready(writing=True)
            except OSError:
                return

    async def _ready(self, *, writing: bool) -> None:
        """Wait until there is something to do, or the command has ended."""
        loop = asyncio.get_running_loop()
        descriptor = self.descriptor
        ready = asyncio.Event()
        (loop.add_writer if writing else loop.add_reader)(descriptor, ready.set)
        self._process.ended.add_done_callback(lambda _: ready.set())
        try:
            await ready.wait()
        finally:
            if self.descriptor == descriptor:  # else it is closed, and its number may be in use again
                (loop.remove_writer if writing else loop.remove_reader)(descriptor)


class Session:
    """A running command; implements `mesh_lab.kube.streams.ExecSession`. Made by `start`."""

    def __init__(self, process: Process, stdin: int | None, stdout: int, stderr: int | None) -> None:
        self.process = self._process = process
        self._stdout = Pipe(stdout, process)
        self._tty = stdin == stdout
        self._stdin = self._stdout if self._tty else None if stdin is None else Pipe(stdin, process)
        self._stderr = None if stderr is None else Pipe(stderr, process)

    async def stdout(self) -> AsyncIterator[bytes]:
        """Yield chunks until the command has ended and all its output is read."""
        async for chunk in self._stdout.chunks():
            yield chunk

    async def stderr(self) -> AsyncIterator[bytes]:
        """Yield the same for standard error; nothing with a terminal."""
        if self._stderr is not None:
            async for chunk in self._stderr.chunks():
                yield chunk

    async def write(self, data: bytes) -> None:
        """Write to the command's input; waits while it does not read."""
        if self._stdin is not None:
            await self._stdin.write(data)

    async def close_stdin(self) -> None:
        """End the command's input."""
        if self._tty:
            await self.write(END_OF_INPUT)
        elif self._stdin is not None:
            self._stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal; the command gets SIGWINCH."""
        if self._tty and self._stdout.descriptor >= 0:
            size = struct.pack("HHHH", rows, columns, 0, 0)
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._stdout.descriptor, termios.TIOCSWINSZ, size)

    async def wait(self) -> int:
        """Wait for the end and return the exit code."""
        return (await self._process.wait()).code

    async def kill(self) -> None:
        """Kill the command's process group and close its streams."""
        await self._process.kill(group=True)
        await self._process.wait()
        for pipe in (self._stdin, self._stdout, self._stderr):
            if pipe is not None:
                pipe.close()


async def start(runtime: Runtime, container: Process, spec: Message, *, stdin: bool, tty: bool) -> Session:
    """Start a command in a running container.

    Raises:
        RuntimeFailure: it cannot be started.
    """
    if tty:
        return await _with_terminal(runtime, container, spec)
    return await on_pipes(lambda stdio: runtime.exec(container, spec, stdio), stdin=stdin)


async def on_pipes(begin: Callable[[list[int]], Awaitable[Process]], *, stdin: bool) -> Session:
    """Start a process whose streams are pipes.

    Raises:
        RuntimeFailure: it cannot be started.
    """
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:

        def pipe() -> tuple[int, int]:
            reading, writing = os.pipe()
            return reading, writing

        def keep(stack: contextlib.ExitStack, descriptor: int) -> int:
            stack.callback(os.close, descriptor)
            return descriptor

        to_command: int | None = None
        if stdin:
            reading, writing = pipe()
            stdio, to_command = [keep(theirs, reading)], keep(ours, writing)
        else:
            stdio = [keep(theirs, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))]
        outputs = [pipe() for _ in range(2)]
        stdio += [keep(theirs, writing) for _, writing in outputs]
        stdout, stderr = (keep(ours, reading) for reading, _ in outputs)
        process = await begin(stdio)
        ours.pop_all()
    return Session(process, to_command, stdout, stderr)


async def _with_terminal(runtime: Runtime, container: Process, spec: Message) -> Session:
    process, leader = await on_terminal(lambda stdio: runtime.exec(container, spec, stdio))
    return Session(process, leader, leader, None)


async def on_terminal(begin: Callable[[list[int]], Awaitable[Process]]) -> tuple[Process, int]:
    """Start a process on a terminal of its own; return it and our end of the terminal.

    Raises:
        RuntimeFailure: it cannot be started.
    """
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = await begin([theirs.fileno()])
        # It was sent before the command was executed, so it is here.
        _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
    return process, descriptors[0]
