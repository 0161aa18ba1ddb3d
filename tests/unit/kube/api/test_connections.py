"""Connections are bounded at each step, and none of them holds up another client."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from mesh_lab.kube import pki
from mesh_lab.kube.api.app import serve
from mesh_lab.kube.api.connections import BUSY, REFUSED_LINES, Limits, mark_busy

SHORT_S = 0.2
LIMIT_S = 10
LIMITS = Limits(
    silent=5, silent_seconds=SHORT_S, handshakes=3, handshake_seconds=SHORT_S, idle=3, idle_seconds=SHORT_S, busy=4
)
LASTING = Limits(silent=5, silent_seconds=60, handshakes=3, handshake_seconds=60, idle=3, idle_seconds=60, busy=4)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Door:
    """A server, and how to reach it."""

    port: int
    trust: ssl.SSLContext
    release: asyncio.Event
    entered: asyncio.Queue[None]

    async def get(self, path: str) -> str:
        """The answer to a request on a connection of its own."""
        timeout = aiohttp.ClientTimeout(total=LIMIT_S)
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.trust), timeout=timeout) as client,
            client.get(f"https://127.0.0.1:{self.port}{path}") as response,
        ):
            return await response.text()

    async def plain(self, first: bytes = b"") -> Connection:
        """A connection without TLS on which `first` has been sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(first)
        return reader, writer

    async def secure(self, first: bytes = b"") -> Connection:
        """A connection that has come through TLS, on which `first` has been sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.trust)
        writer.write(first)
        return reader, writer


@pytest.fixture
async def door(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Door]:
    """A server of two paths: `/` answers at once, `/wait` when it is released."""
    release = asyncio.Event()
    entered: asyncio.Queue[None] = asyncio.Queue()

    async def at_once(_: web.Request) -> web.Response:
        return web.Response(text="here")

    async def wait(_: web.Request) -> web.Response:
        entered.put_nowait(None)
        await release.wait()
        return web.Response(text="waited")

    app = web.Application(middlewares=[mark_busy])
    app[BUSY] = set()
    app.router.add_get("/", at_once)
    app.router.add_get("/wait", wait)
    made = pki.ensure(tmp_path / "pki")
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    trust = ssl.create_default_context(cadata=made.authority_pem)
    port = listener.getsockname()[1]
    serving = asyncio.create_task(serve(app, [listener], made.server_context(), request.param))
    yield Door(port, trust, release, entered)
    serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def is_closed(connection: Connection) -> bool:
    """Whether the server ends the connection before long, without having said anything."""
    reader, writer = connection
    try:
        async with asyncio.timeout(LIMIT_S):
            ended = await reader.read() == b""
    except ConnectionError:
        ended = True
    writer.close()
    return ended


def handshakes() -> int:
    """How many handshakes are held in memory, by the garbage collector's account."""
    return sum(isinstance(each, ssl.SSLObject) for each in gc.get_objects())


@pytest.mark.parametrize("door", [LASTING], indirect=True)
@pytest.mark.parametrize("by_client", [True, False], ids=["the client leaves", "the server closes the oldest"])
async def test_a_failed_handshake_leaves_no_reference_cycle(door: Door, by_client: bool) -> None:
    before = handshakes()

    async def held(number: int) -> None:
        # Nothing says when an object is freed.
        async with asyncio.timeout(LIMIT_S):
            while handshakes() - before != number:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    gc.disable()
    try:
        opened = [await door.plain(b"\x16\x03\x01\x02\x00") for _ in range(3 if by_client else 20)]
        await held(3)
        for _, writer in opened:
            writer.transport.abort()
        await held(0)
    finally:
        gc.enable()


@pytest.mark.parametrize("door", [LIMITS], indirect=True)
@pytest.mark.parametrize(
    ("secure", "first"),
    [(False, b""), (False, b"\x16"), (False, b"\x16\x03\x01\x02\x00"), (True, b""), (True, b"GET / HTTP/1.1\r\nHos")],
    ids=["says nothing", "one byte of TLS", "a part of a hello", "no request", "a part of a request"],
)
async def test_a_connection_that_stalls_is_closed(door: Door, secure: bool, first: bytes) -> None:
    connection = await (door.secure(first) if secure else door.plain(first))
    assert await is_closed(connection)
    assert await door.get("/") == "here"


@pytest.mark.parametrize("door", [LASTING], indirect=True)
@pytest.mark.parametrize("first", [b"", b"\x16\x03\x01\x02\x00"], ids=["silent", "in a handshake"])
async def test_too_many_connections_in_one_phase_close_the_oldest(door: Door, first: bytes) -> None:
    stuck = [await door.plain(first) for _ in range(20)]
    assert await door.get("/") == "here"
    kept = LASTING.handshakes if first else LASTING.silent
    closed = await asyncio.gather(*(is_closed(one) for one in stuck[: len(stuck) - kept - 1]))
    assert all(closed)
    for _, writer in stuck:
        writer.close()


@pytest.mark.parametrize("door", [LASTING], indirect=True)
async def test_idle_connections_make_room_and_those_with_a_request_do_not(door: Door) -> None:
    waiting = asyncio.create_task(door.get("/wait"))
    idle = [await door.secure() for _ in range(10)]
    assert await door.get("/") == "here"
    assert all(await asyncio.gather(*(is_closed(one) for one in idle[: 10 - LASTING.idle])))
    door.release.set()
    assert await waiting == "waited"
    for _, writer in idle:
        writer.close()


@pytest.mark.parametrize("door", [LASTING], indirect=True)
async def test_above_the_limit_of_requests_connections_are_refused_and_none_is_closed(door: Door) -> None:
    most = LASTING.busy + LASTING.idle
    waiting = []
    for _ in range(most):
        waiting.append(asyncio.create_task(door.get("/wait")))
        await asyncio.wait_for(door.entered.get(), LIMIT_S)
    with pytest.raises(aiohttp.ClientError):
        await door.get("/")
    door.release.set()
    assert await asyncio.gather(*waiting) == ["waited"] * most
    assert await door.get("/") == "here"


@pytest.mark.parametrize("door", [LIMITS], indirect=True)
async def test_plain_http_is_answered_with_a_400(door: Door) -> None:
    reader, writer = await door.plain(b"GET / HTTP/1.1\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), LIMIT_S)
    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert answer.endswith(b"Client sent an HTTP request to an HTTPS server.\n")
    writer.close()


@pytest.mark.parametrize("door", [LIMITS], indirect=True)
async def test_invalid_http_is_answered_and_logged_in_one_line(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(REFUSED_LINES + 5):
        reader, writer = await door.secure(b"GET / HTTP/1.1\r\nbad header\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), LIMIT_S)).startswith(b"HTTP/1.0 400 ")
        writer.close()
    lines = [record for record in caplog.records if "not HTTP" in record.getMessage()]
    assert 0 < len(lines) <= REFUSED_LINES
    assert "Traceback" not in caplog.text
    assert all(len(line.getMessage().splitlines()) == 1 for line in lines)
