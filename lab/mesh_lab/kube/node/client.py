"""The node agent's side of the runtime: its operations as coroutines, its processes as objects that end."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mesh_lab
from mesh_lab.kube.node.runtime import wire

log = logging.getLogger(__name__)

START_LIMIT_SECONDS = 10.0  # seconds that the runtime gives a container to be made
CALL_LIMIT_SECONDS = 2 * START_LIMIT_SECONDS
_BUFFER = 1 << 20


class RuntimeFailure(Exception):  # noqa: N818 - it is not always an error: a command that does not exist is one
    """The runtime could not carry out a request; the message is for the pod's owner."""


class RuntimeLost(RuntimeFailure):
    """The runtime died, and with it every container."""


@dataclass(frozen=True)
class Exit:
    """How a process ended: its code, or 128 + the number of the signal that killed it."""

    code: int
    signal: int = 0

    @classmethod
    def of(cls, status: int) -> Exit:
        """Convert a wait status."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code) if code >= 0 else cls(128 - code, -code)


class Process:
    """A process in a container. `ended` is done when it has ended and been reaped."""

    def __init__(self, runtime: Runtime, number: int, pid: int) -> None:
        self._runtime = runtime
        self.number = number
        self.pid = pid
        self.ended: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()

    async def wait(self) -> Exit:
        """Wait for its end and return how it ended."""
        return await asyncio.shield(self.ended)

    async def kill(self, number: int = signal.SIGKILL, *, group: bool = False) -> None:
        """Send a signal to the process, with `group` to its whole process group; does nothing once it has ended."""
        if not self.ended.done():
            await self._runtime.call("signal", process=self.number, signal=int(number), group=group)


class Runtime:
    """A running runtime. `directory` is where both keep the pods' files; see `mesh_lab.kube.node.runtime`."""

    def __init__(
        self, directory: Path, read_only_dirs: Sequence[str], *, start_limit: float = START_LIMIT_SECONDS
    ) -> None:
        self.directory = directory
        self._start_limit = start_limit
        self._read_only_dirs = read_only_dirs
        self._link: socket.socket | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._last = 0
        self._waiting: dict[int, asyncio.Future[tuple[wire.Message, list[int]]]] = {}
        self._processes: dict[int, Process] = {}
        self._ready: asyncio.Future[int] | None = None
        self._sending = asyncio.Lock()
        self._tidying: set[asyncio.Task[None]] = set()
        self.lost = asyncio.Event()

    async def start(self) -> int:
        """Start it, wait until it answers, and return its pid.

        Raises:
            RuntimeFailure: it ended at once; its own words are on stderr.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        with theirs:
            # Without `site` it starts in half the time, and imports nothing but the lab and the standard library.
            program = [sys.executable, "-S", "-m", "mesh_lab.kube.node.runtime"]
            arguments = [str(theirs.fileno()), str(self.directory), str(self._start_limit), *self._read_only_dirs]
            self._child = subprocess.Popen(  # noqa: ASYNC220 - it returns in a few milliseconds, once at the start
                [*program, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                cwd="/",
                env={**os.environ, "PYTHONPATH": package_root()},
            )
        self._link = ours
        loop.add_reader(ours, self._read)
        async with asyncio.timeout(CALL_LIMIT_SECONDS):
            return await self._ready

    def close(self) -> None:
        """Let it end, and with it all that it started."""
        self._lose()
        if self._child is not None:
            self._child.wait()
            self._child = None

    async def create_sandbox(self, hostname: str, sysctls: dict[str, str], *, host_network: bool = False) -> int:
        """Make a pod's namespaces; returns the number that identifies them in other calls."""
        reply, _ = await self.call("sandbox", hostname=hostname, sysctls=sysctls, host_network=host_network)
        return int(reply["sandbox"])

    async def remove_sandbox(self, sandbox: int) -> None:
        """Release the namespaces. Processes in them are not killed."""
        await self.call("remove", sandbox=sandbox)

    async def start_container(self, sandbox: int, spec: wire.Message, stdio: Sequence[int]) -> Process:
        """Start a container's first process; returns when its command runs.

        Raises:
            RuntimeFailure: it could not be started; nothing of it is left.
        """
        reply, _ = await self.call("start", stdio, sandbox=sandbox, spec=spec)
        started: Process = reply["started"]
        return started

    async def exec(self, container: Process, spec: wire.Message, stdio: Sequence[int]) -> Process:
        """Start a command in a running container; returns when it runs."""
        reply, _ = await self.call("exec", stdio, process=container.number, spec=spec)
        started: Process = reply["started"]
        return started

    async def open_socket(self, sandbox: int, family: int, kind: int, protocol: int = 0) -> socket.socket:
        """Open a non-blocking socket in the pod's network."""
        _, descriptors = await self.call("socket", sandbox=sandbox, family=family, kind=kind, protocol=protocol)
        made = socket.socket(fileno=descriptors[0])
        made.setblocking(False)
        return made

    async def call(
        self, operation: str, descriptors: Sequence[int] = (), **fields: Any
    ) -> tuple[wire.Message, list[int]]:
        """Send a request and wait for its reply.

        Raises:
            RuntimeFailure: the runtime refuses, says why, or is gone.
        """
        if self._link is None:
            raise RuntimeLost("the runtime is gone")
        self._last += 1
        number = self._last
        try:
            data = wire.encode({"op": operation, "id": number, **fields})
        except ValueError as error:
            raise RuntimeFailure(str(error)) from None
        reply: asyncio.Future[tuple[wire.Message, list[int]]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = reply
        try:
            async with asyncio.timeout(CALL_LIMIT_SECONDS):
                await self._send(data, descriptors)
                message, received = await reply
        except TimeoutError:
            raise RuntimeFailure(f"the runtime did not answer within {CALL_LIMIT_SECONDS:.0f} s") from None
        finally:
            self._waiting.pop(number, None)
        if "error" in message:
            raise RuntimeFailure(message["error"])
        return message, received

    async def _send(self, data: bytes, descriptors: Sequence[int]) -> None:
        async with self._sending:
            while self._link is not None:
                try:
                    socket.send_fds(self._link, [data], list(descriptors))
                except BlockingIOError:
                    await self._writable(self._link)
                except OSError as error:
                    raise RuntimeLost(f"the runtime is gone: {error.strerror}") from error
                else:
                    return

    async def _writable(self, link: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        loop.add_writer(link, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_writer(link)

    def _read(self) -> None:
        while self._link is not None:
            try:
                message, descriptors = wire.receive(self._link)
            except BlockingIOError:
                return
            except OSError:
                message, descriptors = None, []
            if message is None:
                self._lose()
            elif "exit" in message:
                self._end(message["exit"], Exit.of(message["status"]))
            elif "ready" in message:
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(message["ready"])
            else:
                self._answer(message, descriptors)

    def _answer(self, message: wire.Message, descriptors: list[int]) -> None:
        if "process" in message:
            number = message["process"]
            # It may have ended before its starter is resumed, so the object travels with the reply.
            message["started"] = self._processes[number] = Process(self, number, message["pid"])
        reply = self._waiting.get(message["id"])
        if reply is not None and not reply.done():
            reply.set_result((message, descriptors))
            return
        # The caller was cancelled: release what the reply carries.
        for descriptor in descriptors:
            os.close(descriptor)
        if "process" in message:
            self._tidy("signal", process=message["process"], signal=int(signal.SIGKILL))
        elif "sandbox" in message:
            self._tidy("remove", sandbox=message["sandbox"])

    def _tidy(self, operation: str, **fields: Any) -> None:
        async def call() -> None:
            try:
                await self.call(operation, **fields)
            except RuntimeFailure as error:
                log.warning("tidying up after a cancelled request: %s", error)

        task = asyncio.get_running_loop().create_task(call())
        self._tidying.add(task)
        task.add_done_callback(self._tidying.discard)

    def _end(self, number: int, exit_: Exit) -> None:
        process = self._processes.pop(number, None)
        if process is not None and not process.ended.done():
            process.ended.set_result(exit_)

    def _lose(self) -> None:
        if self._link is None:
            return
        asyncio.get_running_loop().remove_reader(self._link)
        self._link.close()
        self._link = None
        self.lost.set()
        lost = RuntimeLost("the runtime died")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(lost)
        for reply in self._waiting.values():
            if not reply.done():
                reply.set_exception(lost)
        for number in list(self._processes):
            self._end(number, Exit(137, signal.SIGKILL))


def package_root() -> str:
    """The directory that `import mesh_lab` finds the lab in."""
    return str(Path(mesh_lab.__file__).parent.parent)
