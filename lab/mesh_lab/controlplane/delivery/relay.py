"""Takes TCP connections and hands their bytes, unread, to a server of this process on an abstract Unix socket.

Which server that is, is chosen for each connection as it comes: one can replace another with no connection lost.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import socket
from collections import Counter
from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)

# All proxies of a mesh connect at the same moment after a restart.
_BACKLOG = 1024
_CHUNK = 64 * 1024


class Relay:
    """Relays connections to sockets by name.

    `choose` gives the name of the socket for a new connection; `left` is called when the last of a name has closed.
    """

    def __init__(self, choose: Callable[[], Awaitable[str]], left: Callable[[str], None]) -> None:
        self._choose = choose
        self._left = left
        self._numbers = itertools.count(1)
        self._open: Counter[str] = Counter()
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; gives the port.

        Raises:
            OSError: the port is taken or not permitted.
        """
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Client(self), host, port, backlog=_BACKLOG)
        return int(self._server.sockets[0].getsockname()[1])

    def stop_listening(self) -> None:
        """Take no more connections; those that are open stay."""
        if self._server is not None:
            self._server.close()

    def close(self) -> None:
        """Take no more connections, and cut those that are open."""
        self.stop_listening()
        for client in list(self._clients):
            client.transport.abort()

    def carries(self, name: str) -> bool:
        """Whether connections to a socket are open."""
        return self._open[name] > 0

    async def connect(self, client: _Client) -> None:
        """Connect a new client to the socket that `choose` names.

        Raises:
            OSError: there is no such socket, or it accepts nothing.
        """
        loop = asyncio.get_running_loop()
        name = await self._choose()
        self._open[name] += 1
        client.name = name
        end = socket.socket(socket.AF_UNIX)
        try:
            end.setblocking(False)
            # The server behind sees the client's address as the last part of the name of this end.
            end.bind(f"\0{name}/{next(self._numbers)}/{client.peer}")
            await loop.sock_connect(end, f"\0{name}")
            await loop.create_unix_connection(lambda: _Side(client), sock=end)
        except BaseException:
            end.close()
            raise

    def opened(self, client: _Client) -> None:
        """Count a new connection."""
        self._clients.add(client)

    def lost(self, client: _Client) -> None:
        """Forget a closed connection; report the last of its name to `left`."""
        self._clients.discard(client)
        if client.name:
            self._open[client.name] -= 1
            if not self._open[client.name]:
                del self._open[client.name]
                self._left(client.name)


class _Side(asyncio.BufferedProtocol):
    """One end of two: what arrives here is written to the other, no faster than that takes it."""

    transport: asyncio.Transport
    # What arrives is handed on before anything else can: one buffer does for all.
    _buffer = memoryview(bytearray(_CHUNK))

    def __init__(self, other: _Side | None = None) -> None:
        self.other = other

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.other is not None:
            self.other.meet(self)

    def meet(self, other: _Side) -> None:
        """The other end is there."""
        self.other = other

    def get_buffer(self, _: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, length: int) -> None:
        if self.other is not None:
            self.other.transport.write(bytes(self._buffer[:length]))

    def pause_writing(self) -> None:
        if self.other is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _: Exception | None) -> None:
        if self.other is not None:
            self.other.transport.close()


class _Client(_Side):
    """The client's end. What it sends before the server's end is connected is kept, and no more is read until then.

    Reading stops with the first bytes and not when the connection is made: asyncio of Python 3.11.2 (Debian 12) begins
    to read after `connection_made` even if that has paused it.
    """

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay
        self._early = b""
        self._connecting: asyncio.Task[None] | None = None
        self.name = ""
        self.peer = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.peer = "{}:{}".format(*transport.get_extra_info("peername")[:2])
        self._relay.opened(self)
        self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def meet(self, other: _Side) -> None:
        super().meet(other)
        if self._early:
            other.transport.write(self._early)
            self._early = b""
        self.transport.resume_reading()

    def buffer_updated(self, length: int) -> None:
        if self.other is None:
            self._early += bytes(self._buffer[:length])
            self.transport.pause_reading()
        super().buffer_updated(length)

    def connection_lost(self, error: Exception | None) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
        super().connection_lost(error)
        self._relay.lost(self)

    async def _connect(self) -> None:
        try:
            await self._relay.connect(self)
        except (OSError, RuntimeError) as error:  # the latter is gRPC's, when it cannot serve
            log.warning("%s: its connection cannot be handed on: %s", self.peer, error)
            self.transport.abort()
