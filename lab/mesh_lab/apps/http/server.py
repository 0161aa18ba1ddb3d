"""A server for both protocols on one port, which finishes the requests under way when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from typing import TYPE_CHECKING

from mesh_lab.apps.http.connection import HTTP2_PREFACE, Connection, Handler, Session
from mesh_lab.apps.http.http1_server import Http1Session

if TYPE_CHECKING:
    import ssl

DRAIN_SECONDS = 10.0
# An endpoint's removal reaches every proxy of a lab within 0.1 s, with a busy machine in mind.
LINGER_SECONDS = 0.5


class Server:
    """Serves one handler on any number of ports."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.connections: set[Connection] = set()
        self.leaving = False
        self._listeners: list[asyncio.Server] = []
        self._empty = asyncio.Event()

    async def listen(self, host: str | None, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Open a port (0 picks one), for TLS where a context is given, and return its number.

        Raises:
            OSError: the port is taken or not permitted.
        """
        listener = await asyncio.get_running_loop().create_server(self._accept, host, port, ssl=tls, backlog=1024)
        self._listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    async def adopt(self, sock: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve a socket that listens already, with TLS if `tls` is given."""
        listener = await asyncio.get_running_loop().create_server(self._accept, sock=sock, ssl=tls)
        self._listeners.append(listener)

    async def finish(self, linger: float, limit: float = DRAIN_SECONDS) -> None:
        """End without losing a request, as a pod must: its clients learn of its end only gradually.

        For `linger` seconds everything is served as before, but each answer closes its connection; then as `close`.
        """
        self.leaving = True
        await asyncio.sleep(linger)
        await self.close(limit)

    async def close(self, limit: float = DRAIN_SECONDS) -> None:
        """Stop accepting, finish the requests under way for up to `limit` seconds, then cut what is left."""
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.drain()
        if self.connections:
            self._empty.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), limit)
        for connection in list(self.connections):
            connection.abort()

    def _accept(self) -> Connection:
        connection = Connection(self.handler, _choose, self._forget, lambda: self.leaving)
        self.connections.add(connection)
        return connection

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()


def _choose(connection: Connection, first: bytes) -> Session:
    if first.startswith(HTTP2_PREFACE):
        from mesh_lab.apps.http.http2_server import Http2Session  # h2 costs 20 ms, and most services never need it

        return Http2Session(connection)
    return Http1Session(connection)


def stop_requested() -> asyncio.Event:
    """An event that SIGTERM or SIGINT sets from now on. Call it before the ports open: a ready pod can be stopped."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop
