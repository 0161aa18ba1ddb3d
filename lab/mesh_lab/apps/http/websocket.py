"""WebSockets on the server's side (RFC 6455), over HTTP/1.1."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Awaitable, Callable

from mesh_lab.apps.http.messages import Request, Response

Talk = Callable[["WebSocket"], Awaitable[None]]

_MAX_MESSAGE = 16 * 1024 * 1024
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_NORMAL, _PROTOCOL_ERROR, _TOO_BIG = 1000, 1002, 1009


class WebSocket:
    """One connection; `receive` gives the client's messages, `send` sends one."""

    def __init__(self, reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        self._reader = reader
        self._write = write

    def send(self, message: str | bytes) -> None:
        """Send a text or bytes."""
        if isinstance(message, str):
            self._frame(_TEXT, message.encode())
        else:
            self._frame(_BINARY, message)

    async def receive(self) -> str | bytes | None:
        """The next message, None at the end; pings are answered meanwhile."""
        kind, parts = 0, b""
        while True:
            try:
                opcode, final, data = await self._next_frame()
            except asyncio.IncompleteReadError:
                return None
            except ValueError as error:
                self._end(_PROTOCOL_ERROR, str(error))
                return None
            if opcode == _CLOSE:
                self._end(_NORMAL, "")
                return None
            if opcode == _PING:
                self._frame(_PONG, data)
            elif opcode != _PONG:
                kind, parts = kind or opcode, parts + data
                if len(parts) > _MAX_MESSAGE:
                    self._end(_TOO_BIG, "message too big")
                    return None
                if final:
                    return parts.decode("utf-8", "replace") if kind == _TEXT else parts

    async def _next_frame(self) -> tuple[int, bool, bytes]:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack(">H", await self._reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self._reader.readexactly(8))
        if not second & 0x80 or first & 0x70 or length > _MAX_MESSAGE:
            raise ValueError("a frame without a mask, with an extension, or too big")
        mask = await self._reader.readexactly(4)
        data = await self._reader.readexactly(length)
        repeated = mask * (length // 4 + 1)
        plain = int.from_bytes(data) ^ int.from_bytes(repeated[:length])
        return first & 0x0F, bool(first & 0x80), plain.to_bytes(length)

    def _end(self, code: int, reason: str) -> None:
        self._frame(_CLOSE, struct.pack(">H", code) + reason.encode())

    def _frame(self, opcode: int, data: bytes) -> None:
        length = len(data)
        if length < 126:
            head = struct.pack("BB", 0x80 | opcode, length)
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, 127, length)
        self._write(head + data)


def accept(request: Request, talk: Talk) -> Response:
    """The answer that makes the connection a WebSocket; 400 or 426 to what asks for none."""
    headers = request.headers
    if "websocket" not in headers.get("upgrade").lower() or request.protocol != "HTTP/1.1":
        return Response(426, b"this path speaks WebSocket\n", headers={"upgrade": "websocket"})
    key = headers.get("sec-websocket-key")
    if not key or headers.get("sec-websocket-version") != "13" or request.method != "GET":
        return Response(400, b"not a handshake of WebSocket version 13\n", headers={"sec-websocket-version": "13"})

    async def speak(reader: asyncio.StreamReader, write: Callable[[bytes], None]) -> None:
        await talk(WebSocket(reader, write))

    fields = {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": _proof(key)}
    return Response(101, headers=fields, upgrade=speak)


def _proof(key: str) -> str:
    from hashlib import sha1  # loads OpenSSL, 3 MB

    return base64.b64encode(sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()


async def echo(socket: WebSocket) -> None:
    """Return each message."""
    while (message := await socket.receive()) is not None:
        socket.send(message)
