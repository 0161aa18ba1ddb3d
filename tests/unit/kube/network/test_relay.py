"""The relay passes bytes on unharmed, ends streams as they end, and takes orders while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import random
import signal
import socket
import struct
from collections.abc import AsyncIterator

import pytest

from mesh_lab.kube.network.relaying import Relaying

LIMIT = 20.0


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0), backlog=128)


def port_of(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


class Server:
    """A server that answers each connection with its name, then the digest of everything that it read."""

    def __init__(self, name: str) -> None:
        self.name = name.encode()
        self.port = 0

    async def start(self) -> asyncio.Server:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        digest = hashlib.sha256()
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                digest.update(chunk)
            writer.write(self.name + b" " + digest.hexdigest().encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def relaying() -> AsyncIterator[Relaying]:
    made = Relaying()
    async with asyncio.timeout(LIMIT):
        yield made
    await made.close()


async def exchange(port: int, body: bytes = b"") -> bytes:
    """Send everything, end the stream, read the answer to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(body)
        await writer.drain()
        writer.write_eof()
        return await reader.read()
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_bytes_arrive_unharmed_and_half_closed_streams_still_answer(relaying: Relaying) -> None:
    backend = Server("a")
    async with await backend.start():
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", backend.port)])
        bodies = [random.Random(n).randbytes(n * 300_001) for n in range(6)]
        answers = await asyncio.gather(*(exchange(port_of(front), body) for body in bodies))
    assert answers == [b"a " + hashlib.sha256(body).hexdigest().encode() for body in bodies]


async def test_a_slow_reader_delays_its_sender_and_loses_nothing(relaying: Relaying) -> None:
    size = 32 << 20
    sent = 0

    async def pour(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        block = bytes(65536)
        with contextlib.suppress(ConnectionError):
            while sent < size:
                writer.write(block)
                await writer.drain()
                sent += len(block)
        writer.close()

    async with await asyncio.start_server(pour, "127.0.0.1", 0) as server:
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", server.sockets[0].getsockname()[1])])
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front), limit=65536)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert sent < size, "the relay took everything before anything was read"
        received = 0
        while chunk := await reader.read(1 << 20):
            received += len(chunk)
        writer.close()
    assert received == size


async def test_new_connections_follow_the_backends_and_open_ones_stay(relaying: Relaying) -> None:
    first, second = Server("a"), Server("b")
    async with await first.start(), await second.start():
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", first.port)])
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front))
        writer.write(b"x")
        await writer.drain()
        assert (await exchange(port_of(front))).startswith(b"a ")
        await relaying.set_backends("front", [("127.0.0.1", second.port)])
        while not (await exchange(port_of(front))).startswith(b"b "):
            continue
        writer.write_eof()
        assert (await reader.read()).startswith(b"a ")
        writer.close()


async def test_all_backends_are_used(relaying: Relaying) -> None:
    servers = [Server(name) for name in "abc"]
    async with contextlib.AsyncExitStack() as stack:
        for each in servers:
            await stack.enter_async_context(await each.start())
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", each.port) for each in servers])
        answers = {(await exchange(port_of(front)))[:1] for _ in range(100)}
    # One is missing with a probability of 3 * (2/3)^100, about 7e-18.
    assert answers == {b"a", b"b", b"c"}


async def test_without_a_backend_connections_are_reset(relaying: Relaying) -> None:
    front = listening()
    with listening() as unused:
        refused = ("127.0.0.1", port_of(unused))
    for backends in ([], [refused]):
        await relaying.serve(f"front{len(backends)}", front, backends)
        with pytest.raises(OSError):  # reset, broken pipe or not connected, as the reset comes sooner or later
            await exchange(port_of(front), b"x")
        front = listening()
    front.close()


async def test_a_tcp_reset_is_passed_on(relaying: Relaying) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            await reader.read()
            outcome.set_result("ended")
        except ConnectionResetError:
            outcome.set_result("reset")
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", server.sockets[0].getsockname()[1])])
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front))
        await reader.readexactly(5)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()
        assert await outcome == "reset"


async def test_a_stopped_port_is_free_again_and_its_connections_stay(relaying: Relaying) -> None:
    backend = Server("a")
    async with await backend.start():
        front = listening()
        port = port_of(front)
        await relaying.serve("front", front, [("127.0.0.1", backend.port)])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"x")
        await exchange(port)
        assert relaying.pid is not None
        os.kill(relaying.pid, signal.SIGSTOP)  # it cannot have closed its own socket yet
        await relaying.stop("front")
        with socket.create_server(("127.0.0.1", port)) as other:
            os.kill(relaying.pid, signal.SIGCONT)
            writer.write_eof()
            other.settimeout(LIMIT)
            with socket.create_connection(("127.0.0.1", port)), other.accept()[0]:
                pass
        assert (await reader.read()).startswith(b"a ")
        writer.close()


async def test_a_killed_relay_comes_back_with_its_ports(relaying: Relaying) -> None:
    backend = Server("a")
    async with await backend.start():
        front = listening()
        await relaying.serve("front", front, [("127.0.0.1", backend.port)])
        await exchange(port_of(front))
        killed = relaying.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        # The port never closes: a connection waits in the kernel's queue until the relay is back.
        while relaying.pid == killed:  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.01)
        assert (await exchange(port_of(front), b"x")).startswith(b"a ")


async def test_the_relay_ends_with_its_owner(relaying: Relaying) -> None:
    await relaying.serve("front", listening(), [])
    pid = relaying.pid
    assert pid is not None
    await relaying.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
