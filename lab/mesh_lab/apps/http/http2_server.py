"""HTTP/2 on the server's side (prior knowledge, RFC 9113 3.3), over the h2 state machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import hyperframe.frame

from mesh_lab.apps.http.connection import MAX_BODY_BYTES, Connection, Streaming
from mesh_lab.apps.http.http1_server import report
from mesh_lab.apps.http.messages import HOP_BY_HOP, AbortConnection, Headers, Pairs, Request, Response

MAX_STREAMS = 1024
_END = b""
"""After the last piece of a body."""


class Http2Session:
    """Answers the streams of one connection concurrently."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="latin-1"))
        self._h2.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: MAX_STREAMS}
        )
        self._h2.initiate_connection()
        self._begun: dict[int, tuple[Pairs, bytearray]] = {}
        self._pieces: dict[int, asyncio.Queue[bytes]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._window = asyncio.Event()
        self._draining = False
        self._flush()

    def received(self, data: bytes) -> None:
        """See Session."""
        try:
            events = self._h2.receive_data(data)
        except h2.exceptions.ProtocolError:
            self._flush()  # holds the GOAWAY that says why
            self._connection.close()
            return
        for event in events:
            self._on_event(event)
        self._flush()

    def lost(self) -> None:
        """See Session."""
        for task in self._tasks.values():
            task.cancel()
        self._window.set()

    def drain(self) -> None:
        """See Session."""
        # h2 takes a GOAWAY of its own for the end of the connection; ours lets the streams that have begun finish.
        self._draining = True
        for pieces in self._pieces.values():
            pieces.put_nowait(_END)
        last = self._h2.highest_inbound_stream_id
        self._connection.write(hyperframe.frame.GoAwayFrame(stream_id=0, last_stream_id=last).serialize())
        self._close_if_done()

    def _on_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.RequestReceived):
            if self._draining:
                self._h2.reset_stream(event.stream_id, error_code=h2.errors.ErrorCodes.REFUSED_STREAM)
                return
            self._begin(event.stream_id, list(event.headers))
        elif isinstance(event, h2.events.DataReceived):
            self._on_data(event)
        elif isinstance(event, h2.events.StreamEnded):
            if event.stream_id in self._pieces:
                self._pieces[event.stream_id].put_nowait(_END)
            self._on_request(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self._begun.pop(event.stream_id, None)
            if task := self._tasks.get(event.stream_id):
                task.cancel()
        elif isinstance(event, h2.events.WindowUpdated | h2.events.RemoteSettingsChanged):
            self._window.set()
        elif isinstance(event, h2.events.ConnectionTerminated):
            self._connection.close()

    def _begin(self, stream: int, pairs: Pairs) -> None:
        """Note a request until its body is whole, or hand it over at once where the handler takes it in pieces."""
        handler, path = self._connection.handler, next((value for name, value in pairs if name == ":path"), "")
        if isinstance(handler, Streaming) and handler.streams(path):
            pieces = self._pieces[stream] = asyncio.Queue()
            self._hand_over(stream, pairs, b"", _taken(pieces))
        else:
            self._begun[stream] = (pairs, bytearray())

    def _on_data(self, event: h2.events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if event.stream_id in self._pieces and event.data:
            self._pieces[event.stream_id].put_nowait(event.data)
        if event.stream_id not in self._begun:
            return
        body = self._begun[event.stream_id][1]
        body.extend(event.data)
        if len(body) > MAX_BODY_BYTES:
            del self._begun[event.stream_id]
            self._h2.reset_stream(event.stream_id, error_code=h2.errors.ErrorCodes.CANCEL)

    def _on_request(self, stream: int) -> None:
        begun = self._begun.pop(stream, None)
        if begun is None:
            return
        self._hand_over(stream, begun[0], bytes(begun[1]))

    def _hand_over(self, stream: int, pairs: Pairs, body: bytes, pieces: AsyncIterator[bytes] | None = None) -> None:
        pseudo = {name: value for name, value in pairs if name.startswith(":")}
        fields = [("host", pseudo.get(":authority", ""))] + [pair for pair in pairs if not pair[0].startswith(":")]
        request = Request(
            method=pseudo.get(":method", ""),
            target=pseudo.get(":path", ""),
            headers=Headers(fields),
            body=body,
            protocol="HTTP/2",
            peer=self._connection.peer,
            port=self._connection.port,
            tls=self._connection.tls,
            pieces=pieces,
        )
        task = asyncio.ensure_future(self._answer(stream, request))
        self._tasks[stream] = task
        task.add_done_callback(lambda _: self._done(stream))

    def _done(self, stream: int) -> None:
        self._tasks.pop(stream, None)
        self._pieces.pop(stream, None)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._draining and not self._tasks:
            self._connection.close()

    async def _answer(self, stream: int, request: Request) -> None:
        try:
            response = await self._connection.handler(request)
        except AbortConnection:
            self._connection.abort()
            return
        except Exception as error:  # noqa: BLE001 - as in HTTP/1.1: the client gets an answer
            report(request, error)
            response = Response(500, b"internal error\n")
        try:
            await self._send(stream, request, response)
        except h2.exceptions.ProtocolError:
            return  # the client has reset the stream meanwhile

    async def _send(self, stream: int, request: Request, response: Response) -> None:
        fields = [(":status", str(response.status))]
        if response.status not in (204, 304):
            fields.append(("content-type", response.content_type))
            if isinstance(response.body, bytes) and not response.trailers:
                fields.append(("content-length", str(len(response.body))))
        fields += [(name.lower(), value) for name, value in response.fields if name.lower() not in HOP_BY_HOP]
        empty = response.body == b"" and not response.trailers
        if request.method == "HEAD" or response.status in (204, 304) or empty:
            self._h2.send_headers(stream, fields, end_stream=True)
            self._flush()
            return
        self._h2.send_headers(stream, fields)
        self._flush()
        async for chunk in _chunks(response.body):
            await self._send_data(stream, chunk)
        if response.trailers:
            self._h2.send_headers(stream, list(response.trailers), end_stream=True)
        else:
            self._h2.end_stream(stream)
        self._flush()

    async def _send_data(self, stream: int, data: bytes) -> None:
        while data:
            window = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if window <= 0:
                self._window.clear()
                await self._window.wait()
                continue
            self._h2.send_data(stream, data[:window])
            data = data[window:]
            self._flush()
            await self._connection.writable()

    def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._connection.write(data)


async def _chunks(body: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
        return
    async for chunk in body:
        yield chunk


async def _taken(pieces: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while (piece := await pieces.get()) != _END:
        yield piece
