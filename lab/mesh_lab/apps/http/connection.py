"""A TCP connection of the server, before and below either protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Protocol, runtime_checkable

from mesh_lab.apps.http.messages import Request, Response, Tls
from mesh_lab.apps.http.secured import tls_of

Handler = Callable[[Request], Awaitable[Response]]


@runtime_checkable
class Streaming(Protocol):
    """A handler that wants some requests at their beginning, with the pieces of their body (HTTP/2 only)."""

    def streams(self, path: str) -> bool:
        """Whether a request with this path is one of them."""


MAX_BODY_BYTES = 16 * 1024 * 1024
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class Session(Protocol):
    """One protocol on one connection."""

    def received(self, data: bytes) -> None:
        """Take bytes from the client."""

    def lost(self) -> None:
        """Stop: the connection has ended, by either side."""

    def drain(self) -> None:
        """Take no new request; close as soon as those begun are answered."""


class Connection(asyncio.Protocol):
    """A TCP connection that becomes HTTP/1.1 or HTTP/2 (prior knowledge) by its first bytes."""

    def __init__(
        self,
        handler: Handler,
        choose: Callable[[Connection, bytes], Session],
        ended: Callable[[Connection], None],
        leaving: Callable[[], bool],
    ) -> None:
        self.handler = handler
        self._choose = choose
        self._ended = ended
        self.leaving = leaving
        self.transport: asyncio.Transport | None = None
        self.peer = ""
        self.port = 0
        self.tls: Tls | None = None
        self._session: Session | None = None
        self._first = b""
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, and both addresses of the connection."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.peer = _address(transport.get_extra_info("peername"))
        self.port = int(transport.get_extra_info("sockname")[1])
        self.tls = tls_of(transport)

    def data_received(self, data: bytes) -> None:
        """Choose the protocol by the first bytes; pass on what follows."""
        if self._session is None:
            self._first += data
            if len(self._first) < len(HTTP2_PREFACE) and HTTP2_PREFACE.startswith(self._first):
                return
            data, self._first = self._first, b""
            self._session = self._choose(self, data)
        self._session.received(data)

    def eof_received(self) -> bool:
        """Close when the client has finished sending."""
        return False

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's interface
        """End the session, and report the end to the server."""
        self._writable.set()
        if self._session is not None:
            self._session.lost()
        self._ended(self)

    def pause_writing(self) -> None:
        """Hold `writable` back: the client reads too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `writable` go on."""
        self._writable.set()

    async def writable(self) -> None:
        """Wait until the client has read enough for more to be sent (or has gone)."""
        await self._writable.wait()

    def write(self, data: bytes) -> None:
        """Send, unless the connection is closing."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def close(self) -> None:
        """Close once everything written has been sent."""
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Cut the connection: what was not sent is lost and the peer sees a reset."""
        if self.transport is None:
            return
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError):
                _reset_on_close(sock)
        self.transport.abort()

    def drain(self) -> None:
        """Close when idle; see Session.drain."""
        if self._session is None:
            self.close()
        else:
            self._session.drain()


def _reset_on_close(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _address(peername: object) -> str:
    if isinstance(peername, tuple) and peername:
        return str(peername[0])
    return ""
