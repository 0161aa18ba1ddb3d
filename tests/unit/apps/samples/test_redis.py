"""redis' protocol, and the few commands."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from mesh_lab.apps.samples import redis


class Client:
    """A connection, and the clock of its server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, times: list[float]) -> None:
        self.reader, self.writer, self.times = reader, writer, times

    async def ask(self, *words: str) -> bytes:
        """Send a command as an array, and read one line of the reply."""
        parts = [f"${len(word)}\r\n{word}\r\n" for word in words]
        return await self.raw(f"*{len(words)}\r\n{''.join(parts)}")

    async def raw(self, text: str) -> bytes:
        self.writer.write(text.encode())
        line = await self.reader.readline()
        if line.startswith(b"$") and line != b"$-1\r\n":
            line += await self.reader.readexactly(int(line[1:]) + 2)
        return line


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    times = [0.0]
    server = await redis.listen(redis.Store(lambda: times[-1]), 0, "127.0.0.1")
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield Client(reader, writer, times)
    if not reader.at_eof():
        writer.write_eof()
        assert await reader.read() == b"", "the server's side is closed, too"
    writer.close()
    server.close()


async def test_ping_is_answered_in_both_ways_of_asking(client: Client) -> None:
    assert await client.raw("PING\r\n") == b"+PONG\r\n"
    assert await client.ask("ping") == b"+PONG\r\n"
    assert await client.ask("PING", "there") == b"$5\r\nthere\r\n"


async def test_values_are_kept_counted_and_deleted(client: Client) -> None:
    assert await client.ask("SET", "k", "v") == b"+OK\r\n"
    assert await client.ask("GET", "k") == b"$1\r\nv\r\n"
    assert await client.ask("SET", "k", "w", "NX") == b"$-1\r\n"
    assert await client.ask("EXISTS", "k", "none") == b":1\r\n"
    assert await client.ask("INCR", "n") == b":1\r\n"
    assert await client.ask("INCRBY", "n", "5") == b":6\r\n"
    assert await client.ask("DECR", "n") == b":5\r\n"
    assert await client.ask("INCR", "k") == b"-ERR value is not an integer or out of range\r\n"
    assert await client.ask("KEYS", "k*") == b"*1\r\n"
    await client.reader.readexactly(7)
    assert await client.ask("DEL", "k", "n", "none") == b":2\r\n"
    assert await client.ask("GET", "k") == b"$-1\r\n"


async def test_values_end_in_time(client: Client) -> None:
    await client.ask("SET", "a", "1", "EX", "10")
    await client.ask("SET", "b", "1")
    assert await client.ask("EXPIRE", "b", "20") == b":1\r\n"
    client.times.append(5.0)
    assert (await client.ask("TTL", "a"), await client.ask("TTL", "none")) == (b":5\r\n", b":-2\r\n")
    client.times.append(15.0)
    assert (await client.ask("GET", "a"), await client.ask("DBSIZE")) == (b"$-1\r\n", b":1\r\n")
    assert await client.ask("FLUSHALL") == b"+OK\r\n"
    assert await client.ask("DBSIZE") == b":0\r\n"


async def test_what_is_unknown_or_wrong_is_an_error_and_nonsense_ends_the_connection(client: Client) -> None:
    assert (await client.ask("ZADD", "a")).startswith(b"-ERR unknown command 'ZADD'")
    assert await client.ask("GET") == b"-ERR wrong number of arguments for 'get' command\r\n"
    assert (await client.raw("*x\r\n")).startswith(b"-ERR Protocol error")
    assert await client.reader.read() == b""


async def test_quit_ends_the_connection(client: Client) -> None:
    assert await client.ask("QUIT") == b"+OK\r\n"
    assert await client.reader.read() == b""
