"""The interface of API server and node: logs, commands in containers, connections into pods, what pods use.

The API server uses only this interface and the node implements it, so neither imports the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec


@dataclass(frozen=True)
class LogOptions:
    """The query of `GET .../pods/NAME/log` (kubectl logs). Times are UTC; no `tail_lines` or `limit_bytes`: all."""

    container: str = ""
    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since_time: datetime | None = None
    limit_bytes: int | None = None


class ExecSession(Protocol):
    """One running command. With a terminal, `stderr` is empty and everything arrives on `stdout`."""

    def stdout(self) -> AsyncIterator[bytes]:
        """Chunks until the stream ends."""
        ...

    def stderr(self) -> AsyncIterator[bytes]:
        """Chunks until the stream ends."""
        ...

    async def write(self, data: bytes) -> None:
        """Send to the command's standard input; waits while it does not read. Without stdin: does nothing."""
        ...

    async def close_stdin(self) -> None:
        """End the command's standard input."""
        ...

    def resize(self, columns: int, rows: int) -> None:
        """Set the size of the terminal."""
        ...

    async def wait(self) -> int:
        """The exit code; 128 + the signal's number when a signal ended the command."""
        ...

    async def kill(self) -> None:
        """End the command, as when the client went away. Safe to call after its end."""
        ...


class MachineOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A virtual machine that is to run: its address (empty: any that is free), its program, and its files by path."""

    image: str
    address: str = ""
    command: list[str] = []
    env: dict[str, str] = {}
    files: dict[str, str] = {}


class MachineSession(ExecSession, Protocol):
    """A machine's first program. `kill` removes the machine."""

    @property
    def address(self) -> str:
        """The machine's address."""
        ...


class NodeMachines(Protocol):
    """Virtual machines on the node, implemented by the node agent. Raises `ApiError`, 503 while the node is not up."""

    def running(self) -> list[tuple[str, str, str]]:
        """Namespace, name and address of each that runs."""
        ...

    async def run(self, namespace: str, name: str, order: MachineOrder) -> MachineSession:
        """Start a machine: 409 when it runs already, 400 when the order cannot be carried out."""
        ...

    async def exec(self, namespace: str, name: str, command: list[str]) -> ExecSession:
        """Start a command in a machine: 404 when it does not run."""
        ...


@dataclass(frozen=True)
class ContainerUsage:
    """What a container has used: processor time since its start (nanoseconds), and resident memory now (bytes)."""

    cpu_ns: int
    memory: int


@dataclass(frozen=True)
class PodUsage:
    """The usage of a pod's containers that run, by their names."""

    namespace: str
    name: str
    uid: str
    containers: Mapping[str, ContainerUsage]


class NodeStreams(Protocol):
    """Implemented by the node agent.

    Raises:
        ApiError: from each method; 404 without such a pod, 400 or 500 when the container does not run.
    """

    @property
    def machines(self) -> NodeMachines:
        """What runs beside pods."""
        ...

    def check_running(self, namespace: str, pod: str, container: str = "") -> None:
        """Raise `ApiError` 500, as a kubelet does, unless the pod runs, and its container if one is named."""
        ...

    def usage(self) -> list[PodUsage]:
        """What each pod uses now."""
        ...

    def logs(self, namespace: str, pod: str, options: LogOptions) -> AsyncIterator[bytes]:
        """Chunks of whole lines, oldest first; with `follow` until the container ends."""
        ...

    async def exec(
        self, namespace: str, pod: str, container: str, command: list[str], *, stdin: bool, tty: bool
    ) -> ExecSession:
        """Start `command` in the container."""
        ...

    async def attach(self, namespace: str, pod: str, container: str, *, stdin: bool) -> ExecSession:
        """Join a running container: what it writes from now on, and its input if it has one. `kill` leaves it."""
        ...

    async def connect(self, namespace: str, pod: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A TCP connection to `127.0.0.1:port` inside the pod's network namespace (port-forward)."""
        ...
