"""Calls whose client sends messages for as long as it likes, as Envoy reports segments and access logs."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events

from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http.messages import Request
from tests.unit.apps.conftest import Start

PATH = "/test.Service/Collect"
SECONDS = 10.0


class Collector:
    """Keeps the messages that come; `answer` is what it answers to the last."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[bytes] = asyncio.Queue()
        self.ended = asyncio.Event()
        self.server = GrpcServer({}, {PATH: self.collect})

    async def collect(self, messages: AsyncIterator[bytes], _: Request) -> bytes:
        async for message in messages:
            self.messages.put_nowait(message)
        self.ended.set()
        return b"done"


class Call:
    """One call over a connection of its own, written by hand: the body stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self._h2.initiate_connection()
        names = {":method": "POST", ":scheme": "http", ":authority": "x", ":path": PATH}
        self._h2.send_headers(1, [*names.items(), ("content-type", "application/grpc"), ("te", "trailers")])
        self.send(b"")

    def send(self, data: bytes, *, last: bool = False) -> None:
        if data or last:
            self._h2.send_data(1, data, end_stream=last)
        self._writer.write(self._h2.data_to_send())

    async def answer(self) -> tuple[bytes, dict[str, str]]:
        """The body and the trailers."""
        body, trailers = b"", {}
        while data := await asyncio.wait_for(self._reader.read(65536), SECONDS):
            for event in self._h2.receive_data(data):
                if isinstance(event, h2.events.DataReceived):
                    body += event.data
                elif isinstance(event, h2.events.TrailersReceived):
                    trailers = dict(event.headers)
                elif isinstance(event, h2.events.StreamEnded):
                    await self.close()
                    return body, trailers
            self._writer.write(self._h2.data_to_send())
        raise AssertionError("the connection ended without an answer")

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()


async def calling(url: str) -> Call:
    host, port = url.removeprefix("http://").split(":")
    return Call(*await asyncio.open_connection(host, int(port)))


def framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


async def test_messages_are_taken_as_they_come_and_answered_when_the_client_has_done(start: Start) -> None:
    collector = Collector()
    _, url = await start(collector.server)
    call = await calling(url)
    call.send(framed(b"one"))
    assert await asyncio.wait_for(collector.messages.get(), SECONDS) == b"one", "the body has not ended"
    both = framed(b"two") + framed(b"three")
    call.send(both[:7])
    call.send(both[7:])
    assert [await asyncio.wait_for(collector.messages.get(), SECONDS) for _ in range(2)] == [b"two", b"three"]
    call.send(b"", last=True)
    assert await call.answer() == (framed(b"done"), {"grpc-status": "0", "grpc-message": ""})


async def test_a_server_that_ends_waits_for_no_client_to_have_done(start: Start) -> None:
    collector = Collector()
    server, url = await start(collector.server)
    call = await calling(url)
    call.send(framed(b"one"))
    await asyncio.wait_for(collector.messages.get(), SECONDS)
    await asyncio.wait_for(server.finish(0), SECONDS)
    assert collector.ended.is_set(), "the call has been answered, not cut off"
    await call.close()
