"""HTTP/1.1 on the client's side: one request at a time on a kept connection."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import httptools

from mesh_lab.apps.http.answers import MAX_BODY_BYTES, Answer, ApiError
from mesh_lab.apps.http.messages import Headers, Pairs, Tls
from mesh_lab.apps.http.secured import tls_of


class Http1Connection(asyncio.Protocol):
    """See mesh_lab.apps.http.client.ClientConnection."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._method = ""
        self._pairs: Pairs = []
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._until_close = False
        self._keep_alive = True
        self._tls: Tls | None = None

    @property
    def usable(self) -> bool:
        """See ClientConnection."""
        return (
            self._keep_alive
            and self._waiting is None
            and self._transport is not None
            and not self._transport.is_closing()
        )

    async def request(self, method: str, target: str, fields: Mapping[str, str], body: bytes) -> Answer:
        """See ClientConnection."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._method = method
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if body or method in ("POST", "PUT", "PATCH"):
            lines.append(f"content-length: {len(body)}")
        self._transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body)
        try:
            return await self._waiting
        finally:
            self._waiting = None

    def close(self) -> None:
        """See ClientConnection."""
        if self._transport is not None:
            self._transport.close()

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, by which requests are sent."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._tls = transport, tls_of(transport)

    def data_received(self, data: bytes) -> None:
        """Parse a part of the answer."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ApiError("protocol", f"the answer is not HTTP/1.1: {error}"))

    def eof_received(self) -> bool:
        """End an answer without a length, which lasts until the connection closes."""
        if self._until_close and self._waiting is not None:
            self._complete()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Fail the request under way."""
        detail = (
            f"{error.strerror or error}"
            if isinstance(error, OSError)
            else "closed by the other side before the whole answer"
        )
        self._fail(ApiError("reset", detail))

    # What the parser calls

    def on_message_begin(self) -> None:
        """Begin an answer."""
        self._pairs, self._body, self._body_bytes = [], [], 0

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header."""
        self._pairs.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """Find out how the body ends; an answer to HEAD has none."""
        if self._parser.get_status_code() < 200:
            return
        headers = Headers(self._pairs)
        framed = "content-length" in headers or "transfer-encoding" in headers
        self._until_close = not framed and self._parser.get_status_code() not in (204, 304)
        if self._method == "HEAD":
            # The parser would wait for the body that the length announces; there is none (RFC 9110, 9.3.2).
            self._keep_alive = False
            self._complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of the body, up to the limit."""
        self._body_bytes += len(body)
        if self._body_bytes > MAX_BODY_BYTES:
            self._fail(ApiError("protocol", f"an answer of more than {MAX_BODY_BYTES} bytes"))
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Hand the answer over, unless it is an interim one (1xx)."""
        if self._parser.get_status_code() >= 200:
            self._keep_alive = self._keep_alive and self._parser.should_keep_alive()
            self._complete()

    def _complete(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            protocol = f"HTTP/{self._parser.get_http_version()}"
            answer = Answer(self._parser.get_status_code(), Headers(self._pairs), b"".join(self._body), protocol)
            answer.tls = self._tls
            self._waiting.set_result(answer)

    def _fail(self, error: ApiError) -> None:
        self._keep_alive = False
        self.close()
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)
