"""The channels of exec and attach over SPDY/3.1, as clients before kubectl 1.29 and Go's SPDY executor speak it.

The client asks for an upgrade of its connection, and opens a stream for each channel; a header says which it is.
https://kubernetes.io/blog/2024/08/20/websockets-transition/
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Protocol, cast

import orjson
from aiohttp import web

from mesh_lab.kube.api.streaming import spdy
from mesh_lab.kube.api.streaming.channels import ERROR, RESIZE, STDERR, STDIN, STDOUT, Input
from mesh_lab.kube.errors import bad_request

UPGRADE = "SPDY/3.1"
PROTOCOL = "v4.channel.k8s.io"
_VERSIONS = "X-Stream-Protocol-Version"
_NUMBERS = {"error": ERROR, "stdin": STDIN, "stdout": STDOUT, "stderr": STDERR, "resize": RESIZE}
_OPENING_SECONDS = 30.0
_WAITING = 16
"""The pieces of input that may wait: of what has arrived, and of what the program has not taken."""


def is_wanted(request: web.Request) -> bool:
    """Whether a client asks for SPDY."""
    return request.headers.get("Upgrade", "").lower() == UPGRADE.lower()


class Connection(Protocol):
    """The part of aiohttp's protocol that is wanted here."""

    def pause_reading(self) -> None:
        """Let the client wait."""

    def resume_reading(self) -> None:
        """Read on."""


class Source:
    """What aiohttp hands the connection's bytes to, once it is upgraded; it is not read while much is waiting."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def next(self) -> bytes | None:
        """The next bytes; None at the end."""
        data = await self.queue.get()
        if self.queue.qsize() < _WAITING:
            self._connection.resume_reading()
        return data

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Take bytes; False: there may be more."""
        self.queue.put_nowait(bytes(data))
        if self.queue.qsize() >= _WAITING:
            self._connection.pause_reading()
        return False, b""

    def feed_eof(self) -> None:
        """Take the end."""
        self.queue.put_nowait(None)

    def set_exception(self, *_: object) -> None:
        """Take the end of a connection that breaks."""
        self.queue.put_nowait(None)


class SpdyChannels:
    """The server's end: one stream a channel."""

    def __init__(self, response: web.StreamResponse, source: Source, wanted: frozenset[int]) -> None:
        self.response = response
        self._source = source
        self._missing = set(wanted)
        self._encoder, self._decoder = spdy.Encoder(), spdy.Decoder()
        self._streams: dict[int, int] = {}
        self._inputs: asyncio.Queue[Input | None] = asyncio.Queue(_WAITING)
        self._open = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def accept(cls, request: web.Request, *, stdin: bool, tty: bool) -> SpdyChannels:
        """Upgrade the connection, and wait until the client has opened its streams.

        Raises:
            ApiError: 400, the client speaks another version of the protocol, or opens no streams.
        """
        offered = [word.strip() for text in request.headers.getall(_VERSIONS, []) for word in text.split(",")]
        if PROTOCOL not in offered:
            raise bad_request(
                f"this needs the protocol {PROTOCOL}, and the client offers {', '.join(offered) or 'none'}"
            )
        headers = {"Connection": "Upgrade", "Upgrade": UPGRADE, _VERSIONS: PROTOCOL}
        response, source = web.StreamResponse(status=101, headers=headers), Source(request.protocol)
        response.force_close()
        wanted = {ERROR, STDOUT, *({STDIN} if stdin else ()), *({RESIZE} if tty else {STDERR})}
        asked = {STDOUT: "stdout", STDERR: "stderr"}
        wanted -= {number for number, name in asked.items() if request.query.get(name, "") not in ("true", "1")}
        await response.prepare(request)
        request.protocol.set_parser(cast("Any", source))
        channels = cls(response, source, frozenset(wanted))
        try:
            async with asyncio.timeout(_OPENING_SECONDS):
                await channels._open.wait()
        except TimeoutError:
            await channels.close()
            raise bad_request("the client has not opened its streams") from None
        return channels

    async def inputs(self) -> AsyncIterator[Input]:
        """Yield what the client sends, until it closes."""
        while (item := await self._inputs.get()) is not None:
            yield item

    async def send(self, channel: int, data: bytes) -> None:
        """Send bytes on a channel; waits while the client does not read. One that the client has not opened drops them.

        Raises:
            ConnectionError: the client is gone.
        """
        if channel in self._streams:
            await self.response.write(self._encoder.data(self._streams[channel], data))

    async def finish(self, status: dict[str, Any]) -> None:
        """Send the outcome and close."""
        with suppress(ConnectionError):
            await self.send(ERROR, orjson.dumps(status))
            for stream in self._streams.values():
                await self.response.write(self._encoder.data(stream, b"", ended=True))
            # The client closes once it has read all; closing first would cut what is under way.
            async for _ in self.inputs():
                pass
        await self.close()

    async def close(self) -> None:
        """End reading."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        with suppress(spdy.SpdyError, ConnectionError):
            while (data := await self._source.next()) is not None:
                for frame in self._decoder.feed(data):
                    if isinstance(frame, spdy.GoAway):
                        continue
                    await self._take(frame)
        self._open.set()
        await self._inputs.put(None)

    async def _take(self, frame: spdy.Frame) -> None:
        if isinstance(frame, spdy.Opened):
            number = _NUMBERS.get(frame.headers.get("streamtype", ""))
            if number is None:
                await self.response.write(self._encoder.reset(frame.stream))
                return
            self._streams[number] = frame.stream
            await self.response.write(self._encoder.reply(frame.stream))
            self._missing.discard(number)
            if not self._missing:
                self._open.set()
        elif isinstance(frame, spdy.Data):
            number = next((each for each, stream in self._streams.items() if stream == frame.stream), None)
            if number in (STDIN, RESIZE) and (frame.data or frame.ended):
                await self._inputs.put(Input(number, frame.data))
                if frame.ended:
                    await self._inputs.put(Input(number, b"", ended=True))
        elif isinstance(frame, spdy.Ping):
            await self.response.write(self._encoder.ping(frame.number))
