"""Listening sockets of the host, for a process that has left the host's network namespace.

The host process binds them and passes their descriptors over an inherited SOCK_SEQPACKET socket: one JSON datagram a
request, answers in the order of the requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections import deque
from typing import Any

REPLY_LIMIT = 1 << 16
TIME_LIMIT_SECONDS = 10.0

TAKEN_HERE = "here"
"""The port is in use at that address, and may be free at others."""

RESERVED = "reserved"
"""The port is for root alone."""


class HostSocketError(Exception):
    """The host process did not pass a socket; the message says why, and which process has the port if that is known.

    `kind`: `TAKEN_HERE`, `RESERVED` or another word of the host process; empty where it is not about the port.
    """

    def __init__(self, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.kind = kind


class HostSockets:
    """The kube process' end of the control socket."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._waiting: deque[asyncio.Future[socket.socket]] = deque()
        self._sending = asyncio.Lock()
        self._reading = False
        self._gone = False

    async def ready(self) -> None:
        """Report to the host process that the lab is ready."""
        await self._send({"op": "ready"})

    async def progress(self, text: str) -> None:
        """Report progress to the host process, which shows it to the user."""
        await self._send({"op": "progress", "text": text})

    async def listen(self, host: str, port: int, *, quickly: bool = False) -> socket.socket:
        """Return a listening TCP socket of the host, non-blocking; the caller closes it.

        `quickly`: who has a port that is taken is not looked for.

        Raises:
            HostSocketError: the port is taken, or the host process refused, is gone or did not answer in time.
        """
        if not self._reading:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._receive)
        reply: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(TIME_LIMIT_SECONDS):
                await self._send({"op": "listen", "host": host, "port": port, "quickly": quickly}, reply)
                return await reply
        except TimeoutError:
            raise HostSocketError(f"the host process did not answer within {TIME_LIMIT_SECONDS:.0f} s") from None

    def close(self) -> None:
        """Close the control socket; pending requests fail."""
        if self._reading:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._reading = False
        self._socket.close()
        self._fail("the control socket was closed")

    async def _send(self, message: dict[str, Any], reply: asyncio.Future[socket.socket] | None = None) -> None:
        async with self._sending:
            if self._gone:
                raise HostSocketError("the host process is gone")
            if reply is not None:
                self._waiting.append(reply)
            try:
                await asyncio.get_running_loop().sock_sendall(self._socket, json.dumps(message).encode())
            except OSError as error:
                self._fail(f"the host process cannot be asked: {error.strerror}")

    def _receive(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._socket, REPLY_LIMIT, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._reading = False
            self._fail("the host process is gone")
            return
        waiting = self._waiting.popleft() if self._waiting else None
        if waiting is None or waiting.done():
            # Its request timed out: release the port.
            for descriptor in descriptors:
                os.close(descriptor)
            return
        answer = json.loads(data)
        if answer.get("ok") and descriptors:
            listener = socket.socket(fileno=descriptors[0])
            listener.setblocking(False)
            waiting.set_result(listener)
        else:
            error = str(answer.get("error") or "the host process sent no socket")
            waiting.set_exception(HostSocketError(error, str(answer.get("kind", ""))))

    def _fail(self, why: str) -> None:
        self._gone = True
        while self._waiting:
            waiting = self._waiting.popleft()
            with contextlib.suppress(asyncio.InvalidStateError):
                waiting.set_exception(HostSocketError(why))
