"""Actions in a running container: probes and lifecycle hooks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from mesh_lab.kube.node.client import Process, Runtime, RuntimeFailure
from mesh_lab.kube.node.pod import checks, grpchealth, sessions
from mesh_lab.kube.node.pod.checks import Result
from mesh_lab.kube.node.runtime.wire import Message
from mesh_lab.kube.objects.containers import Container, LifecycleHandler, Probe

_OUTPUT_SHOWN = 10 << 10  # bytes of a command's output that an event may quote


class Actions:
    """Runs the actions of one start of one container; `exec_spec` makes a request of a command."""

    def __init__(
        self,
        runtime: Runtime,
        process: Process,
        container: Container,
        address: str,
        exec_spec: Callable[[list[str]], Message],
    ) -> None:
        self._runtime = runtime
        self._process = process
        self._container = container
        self._address = address
        self._exec_spec = exec_spec

    async def probe(self, probe: Probe) -> Result:
        """Run one probe; the caller limits the time."""
        try:
            if probe.http_get is not None:
                port = checks.port_number(probe.http_get.port, self._container)
                return await checks.http(probe.http_get, self._address, port)
            if probe.tcp_socket is not None:
                port = checks.port_number(probe.tcp_socket.port, self._container)
                return await checks.tcp(probe.tcp_socket.host or self._address, port)
            if probe.exec is not None:
                return await self.command(list(probe.exec.command))
            if probe.grpc is not None:
                return await grpchealth.check(self._address, probe.grpc.port, probe.grpc.service)
        except ValueError as error:
            return Result(False, str(error))
        return Result(True)

    async def hook(self, handler: LifecycleHandler) -> Result:
        """Run a hook to its end; the caller limits the time."""
        if handler.sleep is not None:
            await asyncio.sleep(handler.sleep.seconds)
            return Result(True)
        return await self.probe(Probe(http_get=handler.http_get, tcp_socket=handler.tcp_socket, exec=handler.exec))

    async def command(self, argv: list[str]) -> Result:
        """Run a command in the container; success is exit code 0. Cancelled, it kills the command."""
        try:
            session = await sessions.start(self._runtime, self._process, self._exec_spec(argv), stdin=False, tty=False)
        except RuntimeFailure as error:
            return Result(False, str(error), unknown=self._process.ended.done())
        try:
            output = await _output(session)
            code = await session.wait()
        finally:
            await asyncio.shield(session.kill())
        return Result(code == 0, "" if code == 0 else checks.describe_failure(output, code))


async def _output(session: sessions.Session) -> bytes:
    """Read all that a command writes on either stream; return the beginning."""
    shown = bytearray()

    async def collect(chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            shown.extend(chunk[: _OUTPUT_SHOWN - len(shown)])

    async with asyncio.TaskGroup() as group:
        group.create_task(collect(session.stdout()))
        group.create_task(collect(session.stderr()))
    return bytes(shown)
