"""`mesh-lab-app redis-server`: the few commands of redis that a lesson needs beside a real program, in memory.

https://redis.io/docs/latest/develop/reference/protocol-spec/ (RESP2, and commands in a line)
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fnmatch
import time
from collections.abc import Callable, Sequence

from mesh_lab.apps.http.server import stop_requested
from mesh_lab.apps.service import log

PORT = 6379
_MAX_WORDS = 1024
_MAX_BYTES = 1024 * 1024
_WRONG_NUMBER = "ERR value is not an integer or out of range"

Reply = bytes | int | str | list[bytes] | None


class CommandError(Exception):
    """A command that is answered with an error."""


class Store:
    """Keys, values and when they end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._values: dict[bytes, bytes] = {}
        self._ends: dict[bytes, float] = {}
        # The least and the greatest number of words after the command.
        self._commands: dict[str, tuple[int, int, Callable[[list[bytes]], Reply]]] = {
            "PING": (0, 1, lambda words: words[0] if words else "PONG"),
            "ECHO": (1, 1, lambda words: words[0]),
            "SELECT": (1, 1, lambda _: "OK"),
            "AUTH": (1, 2, lambda _: "OK"),
            "CLIENT": (1, 9, lambda _: "OK"),
            "COMMAND": (0, 9, lambda _: []),
            "INFO": (0, 1, lambda _: b"# Server\r\nredis_version:7.0.0-mesh-lab\r\nredis_mode:standalone\r\n"),
            "QUIT": (0, 0, lambda _: "OK"),
            "GET": (1, 1, lambda words: self._live().get(words[0])),
            "SET": (2, 5, self._set),
            "DEL": (1, _MAX_WORDS, self._del),
            "EXISTS": (1, _MAX_WORDS, lambda words: sum(key in self._live() for key in words)),
            "INCR": (1, 1, lambda words: self._add(words[0], b"1")),
            "INCRBY": (2, 2, lambda words: self._add(words[0], words[1])),
            "DECR": (1, 1, lambda words: self._add(words[0], b"-1")),
            "EXPIRE": (2, 2, self._expire),
            "TTL": (1, 1, self._ttl),
            "KEYS": (1, 1, self._keys),
            "DBSIZE": (0, 0, lambda _: len(self._live())),
            "FLUSHALL": (0, 1, self._flush),
            "FLUSHDB": (0, 1, self._flush),
        }

    def run(self, words: list[bytes]) -> Reply:
        """Run a command.

        Raises:
            CommandError: it is unknown, or has the wrong words.
        """
        name = words[0].decode("latin-1").upper()
        if name not in self._commands:
            raise CommandError(f"ERR unknown command '{words[0].decode('latin-1')}' (the lab's redis has few)")
        least, most, command = self._commands[name]
        if not least <= len(words) - 1 <= most:
            raise CommandError(f"ERR wrong number of arguments for '{name.lower()}' command")
        return command(words[1:])

    def _live(self) -> dict[bytes, bytes]:
        now = self._clock()
        for key in [key for key, end in self._ends.items() if end <= now]:
            self._values.pop(key, None)
            del self._ends[key]
        return self._values

    def _set(self, words: list[bytes]) -> Reply:
        key, value, *options = words
        live = self._live()
        seconds: float | None = None
        while options:
            option = options.pop(0).upper()
            if (option == b"NX" and key in live) or (option == b"XX" and key not in live):
                return None
            if option in (b"EX", b"PX") and options:
                seconds = _whole(options.pop(0)) / (1 if option == b"EX" else 1000)
            elif option not in (b"NX", b"XX"):
                raise CommandError("ERR syntax error")
        live[key] = value
        self._ends.pop(key, None)
        if seconds is not None:
            self._ends[key] = self._clock() + seconds
        return "OK"

    def _del(self, words: list[bytes]) -> Reply:
        return sum(self._live().pop(key, None) is not None for key in words)

    def _add(self, key: bytes, change: bytes) -> Reply:
        number = _whole(self._live().get(key, b"0")) + _whole(change)
        self._values[key] = str(number).encode()
        return number

    def _expire(self, words: list[bytes]) -> Reply:
        if words[0] not in self._live():
            return 0
        self._ends[words[0]] = self._clock() + _whole(words[1])
        return 1

    def _ttl(self, words: list[bytes]) -> Reply:
        if words[0] not in self._live():
            return -2
        end = self._ends.get(words[0])
        return -1 if end is None else round(end - self._clock())

    def _keys(self, words: list[bytes]) -> Reply:
        return [key for key in self._live() if fnmatch.fnmatchcase(key.decode("latin-1"), words[0].decode("latin-1"))]

    def _flush(self, _: list[bytes]) -> Reply:
        self._values.clear()
        self._ends.clear()
        return "OK"


def _whole(text: bytes) -> int:
    try:
        return int(text)
    except ValueError:
        raise CommandError(_WRONG_NUMBER) from None


def encode(reply: Reply) -> bytes:
    """A reply in RESP2."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, str):
        return f"+{reply}\r\n".encode()
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    return b"*%d\r\n" % len(reply) + b"".join(encode(one) for one in reply)


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """The words of the next command; none at the connection's end.

    Raises:
        CommandError: it is none.
    """
    line = await reader.readline()
    if not line.startswith(b"*"):
        return line.split() or ([b""] if line else [])
    words = []
    for _ in range(_length(line, _MAX_WORDS)):
        head = await reader.readline()
        if not head.startswith(b"$"):
            raise CommandError("ERR Protocol error: expected '$'")
        words.append((await reader.readexactly(_length(head, _MAX_BYTES) + 2))[:-2])
    return words


def _length(line: bytes, most: int) -> int:
    number = int(line[1:]) if line[1:].strip().isdigit() else -1
    if not 0 <= number <= most:
        raise CommandError("ERR Protocol error: invalid length")
    return number


async def listen(store: Store, port: int, host: str | None = None) -> asyncio.Server:
    """Open the port; the caller closes the server.

    Raises:
        OSError: the port is taken or not permitted.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
            await _converse(store, reader, writer)

    return await asyncio.start_server(answer, host, port)


async def _converse(store: Store, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            words = await read_command(reader)
        except CommandError as error:
            writer.write(f"-{error}\r\n".encode())
            return
        if not words:
            return
        try:
            reply = encode(store.run(words)) if words[0] else b""
        except CommandError as error:
            reply = f"-{error}\r\n".encode()
        writer.write(reply)
        await writer.drain()
        if words[0].upper() == b"QUIT":
            return


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 when the port cannot be opened."""
    parser = argparse.ArgumentParser(prog="redis-server", description="A few of redis' commands, in memory.")
    parser.add_argument("--port", type=int, default=PORT)
    for flag in ("--save", "--appendonly", "--loglevel", "--bind", "--protected-mode"):
        parser.add_argument(flag, help="without effect")
    options = parser.parse_args(arguments)
    return asyncio.run(_run(options.port))


async def _run(port: int) -> int:
    stop = stop_requested()
    try:
        server = await listen(Store(), port)
    except OSError as error:
        log(f"redis: cannot listen on port {port}: {error.strerror or error}")
        return 1
    log(f"Ready to accept connections tcp, port {port}")
    await stop.wait()
    server.close()
    return 0
