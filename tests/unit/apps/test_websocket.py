"""WebSockets: the handshake, frames, and the sample that uses them."""

from __future__ import annotations

import asyncio
import os
import struct

import pytest

from mesh_lab.apps.http import websocket
from mesh_lab.apps.http.client import fetch, parse_url
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.httpbin.forms import GoForm
from mesh_lab.apps.samples.httpbin.handler import HttpBin
from mesh_lab.apps.samples.tornado import Board

from .conftest import Start

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Peer:
    """A client, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def join(cls, url: str, path: str) -> tuple[Peer, str]:
        """Connect and shake hands; gives the answer's head, too."""
        origin, _ = parse_url(url)
        peer = cls(*await asyncio.open_connection(origin.host, origin.port))
        peer.writer.write(HANDSHAKE.format(path=path).encode())
        return peer, (await peer.reader.readuntil(b"\r\n\r\n")).decode()

    def send(self, opcode: int, data: bytes, *, final: bool = True) -> None:
        length = len(data)
        if length < 126:
            size = struct.pack("B", 0x80 | length)
        elif length < 65536:
            size = struct.pack(">BH", 0x80 | 126, length)
        else:
            size = struct.pack(">BQ", 0x80 | 127, length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[n % 4] for n, byte in enumerate(data))
        self.writer.write(bytes([(0x80 if final else 0) | opcode]) + size + mask + masked)

    async def receive(self) -> tuple[int, bytes]:
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack(">H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack(">Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def leave(self) -> None:
        """Close, and see that the server does."""
        self.send(8, struct.pack(">H", 1000))
        assert await self.receive() == (8, struct.pack(">H", 1000))
        assert await self.reader.read() == b""
        self.writer.close()


async def echoing(request: Request) -> Response:
    return websocket.accept(request, websocket.echo)


async def test_the_handshake_is_the_example_of_the_specification(start: Start) -> None:
    _, url = await start(echoing)
    peer, head = await Peer.join(url, "/")
    assert head.startswith("HTTP/1.1 101 Switching Protocols\r\n")
    assert "\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head
    assert "content-length" not in head
    await peer.leave()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
async def test_messages_of_every_length_come_back(start: Start, size: int) -> None:
    _, url = await start(echoing)
    peer, _ = await Peer.join(url, "/")
    peer.send(1, b"a" * size)
    assert await peer.receive() == (1, b"a" * size)
    peer.send(2, bytes(size))
    assert await peer.receive() == (2, bytes(size))
    await peer.leave()


async def test_a_message_in_parts_is_one_and_pings_are_answered_between(start: Start) -> None:
    _, url = await start(echoing)
    peer, _ = await Peer.join(url, "/")
    peer.send(1, b"a", final=False)
    peer.send(9, b"ping")
    peer.send(0, b"b")
    assert await peer.receive() == (10, b"ping")
    assert await peer.receive() == (1, b"ab")
    await peer.leave()


async def test_a_frame_without_a_mask_ends_the_connection(start: Start) -> None:
    _, url = await start(echoing)
    peer, _ = await Peer.join(url, "/")
    peer.writer.write(b"\x81\x01a")
    opcode, data = await peer.receive()
    assert (opcode, struct.unpack(">H", data[:2])[0]) == (8, 1002)
    assert await peer.reader.read() == b""
    peer.writer.close()


async def test_what_is_no_handshake_is_told_so(start: Start) -> None:
    _, url = await start(echoing)
    assert (await fetch(url)).status == 426
    assert (await fetch(url, headers={"upgrade": "websocket", "connection": "Upgrade"})).status == 400


async def test_a_server_that_ends_does_not_wait_for_who_listens(start: Start) -> None:
    server, url = await start(echoing)
    peer, _ = await Peer.join(url, "/")
    async with asyncio.timeout(20):
        await server.close(30)
    assert await peer.reader.read() == b""
    peer.writer.close()


async def test_go_httpbin_has_an_echo(start: Start) -> None:
    _, url = await start(HttpBin(GoForm(), {}))
    peer, _ = await Peer.join(url, "/websocket/echo")
    peer.send(1, b"hello")
    assert await peer.receive() == (1, b"hello")
    await peer.leave()


async def test_the_sample_tells_all_who_listen(start: Start) -> None:
    board = Board()
    _, url = await start(board)
    first, _ = await Peer.join(url, "/ws")
    second, _ = await Peer.join(url, "/ws")
    assert len(board.listeners) == 2
    assert (await fetch(f"{url}/api?id=1&value=300")).status == 200
    for peer in (first, second):
        assert await peer.receive() == (1, b'{"id": "1", "value": "300"}')
    await first.leave()
    assert len(board.listeners) == 1
    await second.leave()
    assert (await fetch(f"{url}/api?id=1")).status == 400
    assert b"WebSocket status" in (await fetch(url)).body
    assert (await fetch(f"{url}/x")).status == 404
