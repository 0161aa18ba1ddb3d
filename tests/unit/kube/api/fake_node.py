"""A node for the API server's tests: pods are in the registry, and their commands are processes of this machine."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import suppress

from mesh_lab.kube.errors import ApiError, internal, not_found
from mesh_lab.kube.registry import Registry
from mesh_lab.kube.resources import PODS
from mesh_lab.kube.streams import ExecSession, LogOptions, MachineOrder, PodUsage

CHUNK = 32 * 1024


class Session:
    """A command without a terminal."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def stdout(self) -> AsyncIterator[bytes]:
        assert self.process.stdout is not None
        while chunk := await self.process.stdout.read(CHUNK):
            yield chunk

    async def stderr(self) -> AsyncIterator[bytes]:
        assert self.process.stderr is not None
        while chunk := await self.process.stderr.read(CHUNK):
            yield chunk

    async def write(self, data: bytes) -> None:
        if self.process.stdin is not None:
            with suppress(ConnectionError):
                self.process.stdin.write(data)
                await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    def resize(self, columns: int, rows: int) -> None:
        """There is no terminal."""

    async def wait(self) -> int:
        code = await self.process.wait()
        return 128 - code if code < 0 else code

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class Terminal(Session):
    """A command on a terminal: everything arrives on stdout."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        super().__init__(process)
        self._master = master
        self.size = (0, 0)

    async def stdout(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        readable: asyncio.Queue[None] = asyncio.Queue(1)
        loop.add_reader(self._master, lambda: readable.empty() and readable.put_nowait(None))
        try:
            while True:
                await readable.get()
                try:
                    chunk = os.read(self._master, CHUNK)
                except OSError:
                    return
                if not chunk:
                    return
                yield chunk
        finally:
            loop.remove_reader(self._master)

    async def stderr(self) -> AsyncIterator[bytes]:
        return
        yield

    async def write(self, data: bytes) -> None:
        os.write(self._master, data)

    async def close_stdin(self) -> None:
        os.write(self._master, b"\x04")

    def resize(self, columns: int, rows: int) -> None:
        self.size = (columns, rows)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


class FakeMachine(Session):
    """A machine whose first program is a process of this machine."""

    address = "172.31.0.2"


class FakeMachines:
    """Implements `NodeMachines`: programs run on this machine."""

    def __init__(self) -> None:
        self.started: dict[tuple[str, str], FakeMachine] = {}
        self.orders: list[MachineOrder] = []

    def running(self) -> list[tuple[str, str, str]]:
        return [(*key, machine.address) for key, machine in self.started.items()]

    async def run(self, namespace: str, name: str, order: MachineOrder) -> FakeMachine:
        self.orders.append(order)
        self.started[namespace, name] = machine = FakeMachine(await _process(order.command))
        return machine

    async def exec(self, namespace: str, name: str, command: list[str]) -> ExecSession:
        if (namespace, name) not in self.started:
            raise not_found("machines", name)
        return Session(await _process(command))


async def _process(command: list[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe, start_new_session=True)


class FakeNode:
    """Implements `NodeStreams` over what the test says and what this machine has."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.lines: dict[tuple[str, str], list[str]] = {}
        self.grown = asyncio.Event()
        self.following = asyncio.Event()
        self.asked: list[LogOptions] = []
        self.sessions: list[ExecSession] = []
        self.running: ExecSession | None = None
        """The command that is attached to."""
        self.ports: dict[int, int] = {}
        self.stopped: set[tuple[str, str]] = set()
        """Pods with containers that do not run; all others do."""
        self.machines = FakeMachines()
        self.used: list[PodUsage] = []

    def usage(self) -> list[PodUsage]:
        return self.used

    async def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        self.asked.append(options)
        self._pod(namespace, pod)
        lines = self.lines.get((namespace, pod), [])
        sent = max(len(lines) - options.tail_lines, 0) if options.tail_lines is not None else 0
        while True:
            while sent < len(lines):
                yield (lines[sent] + "\n").encode()
                sent += 1
            if not options.follow:
                return
            self.grown.clear()
            self.following.set()
            await self.grown.wait()

    def check_running(self, namespace: str, pod: str, container: str = "") -> None:
        self._pod(namespace, pod)
        if (pod, container) in self.stopped:
            raise internal(f'container not found ("{container}"): it is not running')

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        self.check_running(namespace, pod, container)
        session: Session
        if tty:
            master, slave = pty.openpty()
            process = await asyncio.create_subprocess_exec(
                *command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
            )
            os.close(slave)
            session = Terminal(process, master)
        else:
            pipe = asyncio.subprocess.PIPE
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    stdin=pipe if stdin else asyncio.subprocess.DEVNULL,
                    stdout=pipe,
                    stderr=pipe,
                    start_new_session=True,
                )
            except FileNotFoundError as error:
                raise ApiError(500, "InternalError", f'exec: "{command[0]}": executable file not found') from error
            session = Session(process)
        self.sessions.append(session)
        return session

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        """Joins a command that waits for it."""
        if self.running is None:
            raise internal(f'container not found ("{container}"): it is not running')
        return self.running

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        self._pod(namespace, pod)
        try:
            return await asyncio.open_connection("127.0.0.1", self.ports.get(port, port))
        except OSError as error:
            raise ApiError(500, "InternalError", f"connection to port {port} refused") from error

    def _pod(self, namespace: str, pod: str) -> dict:  # type: ignore[type-arg]
        found = self.registry.find(PODS, pod, namespace)
        if found is None:
            raise not_found("pods", pod)
        return found
