"""HTTP/1.1 on the server's side: keep-alive, pipelining in order, one request at a time."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections import deque
from collections.abc import AsyncIterator

import httptools

from mesh_lab.apps.http.connection import MAX_BODY_BYTES, Connection
from mesh_lab.apps.http.messages import AbortConnection, Headers, Pairs, Request, Response, Upgrade

MAX_PIPELINED = 64


class Http1Session:
    """Parses requests, answers them in order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._pairs: Pairs = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._waiting: deque[tuple[Request, bool]] = deque()
        self._worker: asyncio.Task[None] | None = None
        self._closing = False
        self._upgraded: asyncio.StreamReader | None = None

    # What the connection calls

    def received(self, data: bytes) -> None:
        """See Session."""
        if self._upgraded is not None:
            self._upgraded.feed_data(data)
            return
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            # An upgrade may be ignored (RFC 9110, 7.8): the request has been taken as a plain one.
            return
        except httptools.HttpParserError as error:
            self._refuse(400, f"not an HTTP/1.1 request: {error}")

    def lost(self) -> None:
        """See Session."""
        self._closing = True
        self._waiting.clear()
        if self._upgraded is not None:
            self._upgraded.feed_eof()
        elif self._worker is not None:
            self._worker.cancel()

    def drain(self) -> None:
        """See Session."""
        self._closing = True
        if self._upgraded is not None:
            self._upgraded.feed_eof()
        elif self._worker is None:
            self._connection.close()

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._target, self._pairs, self._body, self._body_bytes = b"", [], [], 0

    def on_url(self, url: bytes) -> None:
        """Keep a part of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._pairs.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Ask for the body where the client waits for that (`Expect: 100-continue`)."""
        for name, value in self._pairs:
            if name.lower() == "expect" and value.lower() == "100-continue":
                self._connection.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, up to the limit."""
        self._body_bytes += len(body)
        if self._body_bytes <= MAX_BODY_BYTES:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Queue the request; start answering unless that is under way."""
        if self._body_bytes > MAX_BODY_BYTES:
            self._refuse(413, f"a body of more than {MAX_BODY_BYTES} bytes")
            return
        if len(self._waiting) >= MAX_PIPELINED:
            self._refuse(429, f"more than {MAX_PIPELINED} pipelined requests")
            return
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            target=self._target.decode("latin-1"),
            headers=Headers(self._pairs),
            body=b"".join(self._body),
            protocol=f"HTTP/{self._parser.get_http_version()}",
            peer=self._connection.peer,
            port=self._connection.port,
            tls=self._connection.tls,
        )
        self._waiting.append((request, self._parser.should_keep_alive()))
        if self._worker is None:
            self._worker = asyncio.ensure_future(self._answer_all())

    # Answers

    async def _answer_all(self) -> None:
        try:
            while self._waiting:
                request, keep_alive = self._waiting.popleft()
                response = await _handled(self._connection, request)
                if response.upgrade is not None:
                    await self._change(response, response.upgrade)
                    return
                keep_alive = keep_alive and not (self._closing or self._connection.leaving())
                await self._send(request, response, keep_alive)
                if not keep_alive:
                    self._closing = True
                    self._connection.close()
                    return
        except AbortConnection:
            self._cut()
        except Exception as error:  # noqa: BLE001 - a body that fails half-way can only be cut: its head has been sent
            report(request, error)
            self._cut()
        finally:
            self._worker = None

    async def _change(self, response: Response, upgrade: Upgrade) -> None:
        self._upgraded = asyncio.StreamReader()
        self._connection.write(_head(response, keep_alive=True))
        await upgrade(self._upgraded, self._connection.write)
        self._closing = True
        self._connection.close()

    def _cut(self) -> None:
        self._closing = True
        self._connection.abort()

    async def _send(self, request: Request, response: Response, keep_alive: bool) -> None:
        head = _head(response, keep_alive)
        bodiless = request.method == "HEAD" or response.status in (204, 304)
        if isinstance(response.body, bytes):
            self._connection.write(head if bodiless else head + response.body)
        else:
            self._connection.write(head)
            if not bodiless:
                await self._send_chunks(response.body)
        await self._connection.writable()

    async def _send_chunks(self, chunks: AsyncIterator[bytes]) -> None:
        async for chunk in chunks:
            if chunk:
                self._connection.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await self._connection.writable()
        self._connection.write(b"0\r\n\r\n")

    def _refuse(self, status: int, why: str) -> None:
        self._closing = True
        self._connection.write(_head(Response(status, f"{why}\n".encode()), keep_alive=False) + f"{why}\n".encode())
        self._connection.close()


async def _handled(connection: Connection, request: Request) -> Response:
    try:
        return await connection.handler(request)
    except (AbortConnection, asyncio.CancelledError):
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the server: whatever went wrong, the client gets an answer
        report(request, error)
        return Response(500, b"internal error\n")


def report(request: Request, error: Exception) -> None:
    """Write what went wrong in a handler to the log of the pod."""
    sys.stderr.write(f"{request.method} {request.target}: {error!r}\n")
    traceback.print_exception(error, file=sys.stderr)


def _head(response: Response, keep_alive: bool) -> bytes:
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    if response.status not in (204, 304) and response.upgrade is None:
        lines.append(f"content-type: {response.content_type}")
        if isinstance(response.body, bytes):
            lines.append(f"content-length: {len(response.body)}")
        else:
            lines.append("transfer-encoding: chunked")
    lines += [f"{name}: {value}" for name, value in response.fields]
    if not keep_alive:
        lines.append("connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
