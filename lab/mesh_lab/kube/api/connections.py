"""Connections to the API server, from the kernel's queue to HTTP: bounded in number and in time at each step.

A connection costs a quarter of a megabyte as soon as TLS has buffers for it. So it gets none before its first
byte, and little time for the handshake. When there are too many at a step, those that have been longest at it are
closed. Connections with a request under way are never closed for others; when these are too many, no more are accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
import ssl
import time
from asyncio import sslproto
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)

_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TLS_HANDSHAKE = b"\x16"
_PLAIN_ANSWER = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
"""The answer of a real API server (Go's net/http) to plain HTTP."""
_PLAIN_REQUEST = 64 * 1024
_TLS_BUFFER = 32 * 1024
"""Two TLS records. asyncio takes 256 KB for each connection, and keeps those of one that ended until its collector
comes by: it has no setting for that but the attribute of its protocol.
"""
_OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NOTICE_EVERY_SECONDS = 60.0
_PAUSE_SECONDS = 0.1


@dataclass(frozen=True)
class Limits:
    """How many connections there may be at each step, and for how many seconds."""

    silent: int = 1000
    silent_seconds: float = 10.0
    """Until the first byte."""
    handshakes: int = 128
    handshake_seconds: float = 10.0
    idle: int = 256
    idle_seconds: float = 90.0
    """Without a request under way; it has to be there, with all of its headers, by then."""
    busy: int = 1000


BUSY: web.AppKey[set[object]] = web.AppKey("busy", set)
"""The connections with a request under way."""


class Gate:
    """Accepts connections from listening sockets, and passes those with a finished TLS handshake to an HTTP server."""

    def __init__(self, server: web.Server, context: ssl.SSLContext, limits: Limits, busy: set[object]) -> None:
        self._server = server
        self._busy = busy
        self._context = context
        self._limits = limits
        self._silent: dict[asyncio.Task[None], None] = {}
        self._handshakes: dict[asyncio.Task[None], None] = {}
        self._noticed: dict[str, float] = {}
        self._turn = asyncio.Lock()

    async def serve(self, listeners: Sequence[socket.socket]) -> None:
        """Accept connections until cancelled; unfinished handshakes are then aborted."""
        sslproto.SSLProtocol.max_size = _TLS_BUFFER
        try:
            async with asyncio.TaskGroup() as group:
                for listener in listeners:
                    group.create_task(self._accept(listener))
        finally:
            coming = [*self._silent, *self._handshakes]
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                client, _ = await loop.sock_accept(listener)
            except OSError as error:
                if error.errno in _OUT_OF_FILES:
                    self._notice("files", f"no connection can be accepted: {error.strerror}")
                    self._make_room(0)
                    await asyncio.sleep(_PAUSE_SECONDS)
                # Else the client gave up before the accept.
                continue
            if len(self._server.connections) >= self._limits.busy + self._limits.idle:
                self._notice("busy", f"{self._limits.busy} requests are under way: more connections are refused")
                client.close()
                continue
            _enter(self._silent, loop.create_task(self._admit(client)))
            self._bound(self._silent, self._limits.silent, "say nothing")
            await asyncio.sleep(0)

    async def _admit(self, client: socket.socket) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            async with asyncio.timeout(self._limits.silent_seconds):
                first = await _first_byte(client)
            self._silent.pop(task, None)
            if first != _TLS_HANDSHAKE:
                if first:
                    _refuse_plain(client)
                client.close()
                return
            async with self._turn:
                # To begin a handshake takes a millisecond: one at a time, and requests are served in between.
                await asyncio.sleep(0)
            _enter(self._handshakes, task)
            self._bound(self._handshakes, self._limits.handshakes, "are in the middle of a handshake")
            await asyncio.get_running_loop().connect_accepted_socket(
                self._server, client, ssl=self._context, ssl_handshake_timeout=self._limits.handshake_seconds
            )
            self._make_room(self._limits.idle)
        except (OSError, TimeoutError) as error:
            log.debug("a connection came to nothing: %s", error)
            client.close()
            # Its frames refer back to it. Thousands of such cycles at once would make a long garbage collection.
            error.__traceback__ = None
        except asyncio.CancelledError:
            client.close()
            raise
        finally:
            self._silent.pop(task, None)
            self._handshakes.pop(task, None)
            del task

    def _make_room(self, most: int) -> None:
        """Close the connections without a request that are more than `most`, the oldest first."""
        idle = [one for one in self._server.connections if one not in self._busy]
        for one in idle[: max(len(idle) - most, 0)]:
            self._notice("idle", f"more than {most} connections are idle: the oldest are closed")
            one.force_close()

    def _bound(self, tasks: dict[asyncio.Task[None], None], most: int, what: str) -> None:
        for task in list(tasks)[: max(len(tasks) - most, 0)]:
            self._notice(what, f"more than {most} connections {what}: the oldest are closed")
            tasks.pop(task)
            task.cancel()

    def _notice(self, kind: str, text: str) -> None:
        """Log it, once a minute."""
        now = time.monotonic()
        if now - self._noticed.get(kind, -_NOTICE_EVERY_SECONDS) >= _NOTICE_EVERY_SECONDS:
            self._noticed[kind] = now
            log.warning("%s", text)


@web.middleware
async def mark_busy(request: web.Request, handler: _Next) -> web.StreamResponse:
    """Mark the connection of a request as busy."""
    busy, connection = request.app[BUSY], request.protocol
    busy.add(connection)
    try:
        return await handler(request)
    finally:
        busy.discard(connection)


def _enter(tasks: dict[asyncio.Task[None], None], task: asyncio.Task[None]) -> None:
    if not task.done():
        tasks[task] = None


def _refuse_plain(client: socket.socket) -> None:
    """Answer plain HTTP with an error."""
    with contextlib.suppress(OSError):
        # Unread data would make the kernel send a reset and drop the answer.
        client.recv(_PLAIN_REQUEST)
        client.send(_PLAIN_ANSWER)
        client.shutdown(socket.SHUT_WR)


async def _first_byte(client: socket.socket) -> bytes:
    """Peek at the client's first byte; empty when it has closed."""
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def ready() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(client, ready)
    try:
        await readable
    finally:
        loop.remove_reader(client)
    return client.recv(1, socket.MSG_PEEK)


_REFUSED_EVERY_SECONDS = 60.0
REFUSED_LINES = 5
"""How many rejected requests are logged in `_REFUSED_EVERY_SECONDS`."""


class _Refused(logging.Filter):
    """Logs a rejected request in one line, and drops it when there have been enough."""

    def __init__(self) -> None:
        super().__init__()
        self._since = -_REFUSED_EVERY_SECONDS
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, HttpProcessingError):
            return True
        now = time.monotonic()
        if now - self._since >= _REFUSED_EVERY_SECONDS:
            self._since, self._lines = now, 0
        self._lines += 1
        why = " ".join(error.message.split())[:200]
        record.msg, record.args = "a request is refused, for it is not HTTP: %s", (why,)
        record.exc_info = record.exc_text = None
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
        return self._lines <= REFUSED_LINES


_REFUSED = _Refused()


def http_logger() -> logging.Logger:
    """The HTTP server's logger: one line for a request that is not HTTP, and few of them.

    aiohttp writes a traceback for each. The client has an answer (400) that says what is wrong, and the lab's log is
    for what is wrong with the lab.
    """
    made = logging.getLogger("mesh_lab.kube.api.http")
    if _REFUSED not in made.filters:
        made.addFilter(_REFUSED)
    return made
