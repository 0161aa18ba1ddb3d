"""Starts the relay program, passes it sockets and backends, and restarts it if it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh_lab.kube.network.ruleset import Backend

log = logging.getLogger(__name__)

PROGRAM = Path(__file__).with_name("relay.py")
ORDER_LIMIT_SECONDS = 5.0
END_LIMIT_SECONDS = 2.0
PAUSE_SECONDS = 0.2


@dataclass
class _Served:
    sock: socket.socket
    backends: Sequence[Backend]


class Relaying:
    """The relay program of a lab. It starts with the first socket, so a lab without any does not have it.

    The sockets stay open here too: connections wait in the kernel's queue while the program starts again.
    """

    def __init__(self) -> None:
        self._served: dict[str, _Served] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._lock = asyncio.Lock()
        self._restarts: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The program's process, if it runs."""
        return self._process.pid if self._process else None

    async def serve(self, name: str, sock: socket.socket, backends: Sequence[Backend]) -> None:
        """Relay what arrives on a listening socket to a random one of `backends`. The socket is taken over."""
        async with self._lock:
            served = self._served[name] = _Served(sock, backends)
            if self._process is None:
                self._start()
                await self._hand_over_all()
            else:
                await self._order({"op": "listen", "id": name, "backends": served.backends}, served.sock)

    async def set_backends(self, name: str, backends: Sequence[Backend]) -> None:
        """Send new connections elsewhere; those that are open stay."""
        async with self._lock:
            served = self._served.get(name)
            if served is not None and list(served.backends) != list(backends):
                served.backends = backends
                await self._order({"op": "backends", "id": name, "backends": backends})

    async def stop(self, name: str) -> None:
        """Take no more connections; those that are open stay. The port is free at once."""
        async with self._lock:
            served = self._served.pop(name, None)
            if served is not None:
                # The program has the socket, too, and its own time: the port would be in use until it has closed it.
                with contextlib.suppress(OSError):
                    served.sock.shutdown(socket.SHUT_RDWR)
                served.sock.close()
                await self._order({"op": "close", "id": name})

    async def close(self) -> None:
        """End the program and close all sockets. Safe to call again."""
        self._closed = True
        for task in self._restarts:
            task.cancel()
        if self._orders is not None:
            asyncio.get_running_loop().remove_reader(self._orders)
            self._orders.close()
            self._orders = None
        if self._process is not None:
            await asyncio.to_thread(_end, self._process)
            self._process = None
        for served in self._served.values():
            served.sock.close()
        self._served.clear()

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            # Isolated: no site-packages, no environment; the program needs neither, and starts in a third of the time.
            command = [sys.executable, "-I", "-S", str(PROGRAM), str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        ours.settimeout(ORDER_LIMIT_SECONDS)
        self._orders = ours
        asyncio.get_running_loop().add_reader(ours, self._ended)

    def _ended(self) -> None:
        """Handle the program's end: it never writes, so its socket becomes readable only then."""
        if self._orders is None or self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._orders)
        self._orders.close()
        self._orders = None
        if not self._closed:
            log.error("the relay to the host's ports ended unexpectedly; starting it again")
            task = asyncio.get_running_loop().create_task(self._restart(self._process))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)

    async def _restart(self, ended: subprocess.Popen[bytes]) -> None:
        await asyncio.to_thread(_end, ended)
        await asyncio.sleep(PAUSE_SECONDS)
        async with self._lock:
            self._start()
            await self._hand_over_all()

    async def _hand_over_all(self) -> None:
        for name, served in self._served.items():
            await self._order({"op": "listen", "id": name, "backends": served.backends}, served.sock)

    async def _order(self, order: dict[str, Any], sock: socket.socket | None = None) -> None:
        """Send an order; a program that is ending gets all of them again after its restart."""
        orders = self._orders
        if orders is None:
            return
        descriptors = [sock.fileno()] if sock else []
        try:
            await asyncio.to_thread(socket.send_fds, orders, [json.dumps(order).encode()], descriptors)
        except OSError as error:
            log.warning("the relay to the host's ports does not take orders: %s", error)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Wait for the program, which ends with its orders' socket; kill it after a while."""
    try:
        process.wait(END_LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(END_LIMIT_SECONDS)
