"""`kubectl port-forward`: TCP connections into a pod, several over one WebSocket.

kubectl speaks SPDY/3.1 inside the WebSocket: for each connection it opens two streams, `data` and `error`, with the
same requestID. Older Python clients use two channels a port, which the first byte of each message names.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

from mesh_lab.kube.api.context import STREAMS, Call
from mesh_lab.kube.api.streaming import spdy, targets
from mesh_lab.kube.errors import ApiError, bad_request

SPDY_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
_CHANNEL_PROTOCOL = "v4.channel.k8s.io"
_MESSAGE_LIMIT = 16 * 1024 * 1024
_CHUNK = 32 * 1024
_WAITING_CHUNKS = 64
_MOST_PORTS = 128

Send = Callable[[bytes], Awaitable[None]]
_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[int], Awaitable[_Streams]]


async def forward(call: Call) -> web.StreamResponse:
    """Carry connections until the client disconnects.

    Raises:
        ApiError: before the upgrade; the pod does not run, or the request is malformed.
    """
    targets.check_assigned(call.registry.get(call.resource, call.name, call.namespace))
    call.request.app[STREAMS].check_running(call.namespace, call.name)
    socket = web.WebSocketResponse(
        protocols=(SPDY_PROTOCOL, _CHANNEL_PROTOCOL), compress=False, max_msg_size=_MESSAGE_LIMIT
    )
    if not socket.can_prepare(call.request).ok:
        raise bad_request(f"this needs a WebSocket with the protocol {SPDY_PROTOCOL} (kubectl 1.31 or later)")
    ports = _ports(call)
    streams = call.request.app[STREAMS]

    def connect(port: int) -> Awaitable[_Streams]:
        return streams.connect(call.namespace, call.name, port)

    offered = [word.strip() for word in call.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
    tunnelled = SPDY_PROTOCOL in offered
    if not tunnelled and not ports:
        raise bad_request('query parameter "ports" is required')
    await socket.prepare(call.request)
    carrier = _Tunnel(socket.send_bytes, connect) if tunnelled else _Channels(socket.send_bytes, connect, ports)
    with suppress(ConnectionError):
        try:
            await carrier.run(_messages(socket))
        finally:
            await carrier.close()
    await socket.close()
    return socket


async def _messages(socket: web.WebSocketResponse) -> AsyncIterator[bytes]:
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            yield message.data


def _ports(call: Call) -> list[int]:
    words = [word for text in call.request.query.getall("ports", []) for word in text.split(",")]
    if len(words) > _MOST_PORTS or not all(word.isdecimal() and 0 < int(word) < 65536 for word in words):
        raise bad_request(f"ports: expected at most {_MOST_PORTS} numbers between 1 and 65535, got {','.join(words)}")
    return [int(word) for word in words]


class _Connection:
    """One connection into the pod, and the client's data that is not written yet."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[bytes | None] = asyncio.Queue(_WAITING_CHUNKS)
        self._over = False

    async def put(self, chunk: bytes | None) -> None:
        """Queue data, None for the end; waits while the pod does not read.

        What comes after the end is dropped.
        """
        if not self._over:
            await self._waiting.put(chunk)

    async def carry(self, opening: Awaitable[_Streams], receive: Callable[[bytes], Awaitable[None]]) -> None:
        """Connect, and carry both directions until the pod's side ends.

        Raises:
            ApiError: no connection could be made.
            OSError: the connection broke.
        """
        try:
            reader, writer = await opening
            writing = asyncio.create_task(self._write(writer))
            try:
                while chunk := await reader.read(_CHUNK):
                    await receive(chunk)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                writer.close()
        finally:
            # Release a caller that waits in `put` of the closed connection.
            self._over = True
            while not self._waiting.empty():
                self._waiting.get_nowait()

    async def _write(self, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while (chunk := await self._waiting.get()) is not None:
                writer.write(chunk)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()


class _Carrier:
    """What both protocols share."""

    def __init__(self, send: Send, connect: Connect) -> None:
        self._send = send
        self._connect = connect
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        """Carry until there are no more messages."""
        raise NotImplementedError

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            with suppress(ConnectionError):
                await work()

        task = asyncio.create_task(guarded())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass
class _Pair:
    """The two streams of one connection, as far as they are open."""

    port: int = 0
    data: int = 0
    error: int = 0
    connection: _Connection = field(default_factory=_Connection)


class _Tunnel(_Carrier):
    """SPDY inside the WebSocket."""

    def __init__(self, send: Send, connect: Connect) -> None:
        super().__init__(send, connect)
        self._encoder = spdy.Encoder()
        self._pairs: dict[str, _Pair] = {}
        self._by_stream: dict[int, _Pair] = {}

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        """Answer frames until the client disconnects, or breaks the protocol."""
        decoder = spdy.Decoder()
        with suppress(spdy.SpdyError):
            async for message in messages:
                for frame in decoder.feed(message):
                    await self._answer(frame)

    async def _answer(self, frame: spdy.Frame) -> None:
        if isinstance(frame, spdy.Opened):
            await self._open(frame)
        elif isinstance(frame, spdy.Data):
            pair = self._by_stream.get(frame.stream)
            if pair is not None and frame.stream == pair.data:
                if frame.data:
                    await pair.connection.put(frame.data)
                if frame.ended:
                    await pair.connection.put(None)
        elif isinstance(frame, spdy.Reset):
            if (pair := self._by_stream.pop(frame.stream, None)) is not None:
                await pair.connection.put(None)
        elif isinstance(frame, spdy.Ping):
            await self._send(self._encoder.ping(frame.number))

    async def _open(self, frame: spdy.Opened) -> None:
        kind, port = frame.headers.get("streamtype", ""), frame.headers.get("port", "")
        if kind not in ("data", "error") or not port.isdecimal() or not 0 < int(port) < 65536:
            await self._send(self._encoder.reset(frame.stream))
            return
        request = frame.headers.get("requestid", port)
        pair = self._pairs.setdefault(request, _Pair(int(port)))
        self._by_stream[frame.stream] = pair
        setattr(pair, kind, frame.stream)
        await self._send(self._encoder.reply(frame.stream))
        if pair.data and pair.error:
            del self._pairs[request]
            self._start(lambda: self._carry(pair))

    async def _carry(self, pair: _Pair) -> None:
        async def receive(chunk: bytes) -> None:
            await self._send(self._encoder.data(pair.data, chunk))

        trouble = ""
        try:
            await pair.connection.carry(self._connect(pair.port), receive)
        except (ApiError, OSError) as error:
            trouble = f"error forwarding port {pair.port} to pod: {error}"
        await self._send(self._encoder.data(pair.data, b"", ended=True))
        await self._send(self._encoder.data(pair.error, trouble.encode(), ended=True))
        self._by_stream.pop(pair.data, None)
        self._by_stream.pop(pair.error, None)


class _Channels(_Carrier):
    """Two channels a port: data and error. Each begins with the port's number."""

    def __init__(self, send: Send, connect: Connect, ports: list[int]) -> None:
        super().__init__(send, connect)
        self._ports = ports
        self._connections = [_Connection() for _ in ports]

    async def run(self, messages: AsyncIterator[bytes]) -> None:
        """Connect to every port, and carry until the client disconnects."""
        for index, port in enumerate(self._ports):
            for channel in (2 * index, 2 * index + 1):
                await self._send(bytes((channel,)) + struct.pack("<H", port))
            self._start(lambda index=index: self._carry(index))  # type: ignore[misc]
        async for message in messages:
            index, is_error = divmod(message[0], 2) if message else (0, 1)
            if not is_error and index < len(self._connections) and len(message) > 1:
                await self._connections[index].put(message[1:])

    async def _carry(self, index: int) -> None:
        async def receive(chunk: bytes) -> None:
            await self._send(bytes((2 * index,)) + chunk)

        try:
            await self._connections[index].carry(self._connect(self._ports[index]), receive)
        except (ApiError, OSError) as error:
            await self._send(bytes((2 * index + 1,)) + str(error).encode())
