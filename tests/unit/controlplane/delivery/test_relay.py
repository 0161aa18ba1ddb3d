"""What a client sends is handed on whole, from its first byte on."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from mesh_lab.controlplane.delivery.relay import Relay, _Client, _Side


class Transport(asyncio.Transport):
    """A connection: what was written to it, and whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.reading = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("10.0.0.1", 4711) if name == "peername" else default


async def never() -> str:
    await asyncio.Event().wait()
    return ""


def receive(client: _Client, data: bytes) -> None:
    client.get_buffer(len(data))[: len(data)] = data
    client.buffer_updated(len(data))


async def test_what_comes_before_the_server_is_connected_is_kept_and_no_more_is_read_until_then() -> None:
    client, from_client, to_server = _Client(Relay(never, lambda _: None)), Transport(), Transport()
    client.connection_made(from_client)
    receive(client, b"hello")
    assert not from_client.reading
    _Side(client).connection_made(to_server)
    assert from_client.reading
    receive(client, b", again")
    assert bytes(to_server.written) == b"hello, again"
    client.connection_lost(None)


async def test_a_connection_is_relayed_both_ways_and_its_end_is_told() -> None:
    name = f"test-{secrets.token_hex(8)}"
    left = asyncio.Event()

    async def choose() -> str:
        return name

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.readexactly(5)).upper())
        writer.close()

    relay = Relay(choose, lambda _: left.set())
    async with await asyncio.start_unix_server(answer, f"\0{name}"), asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", await relay.start("127.0.0.1", 0))
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"HELLO"
        writer.close()
        await left.wait()
    assert not relay.carries(name)
    relay.close()
