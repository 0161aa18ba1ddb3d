"""HTTP/2 on the client's side: many requests at once on one connection (prior knowledge, or TLS with ALPN)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from mesh_lab.apps.http.answers import MAX_BODY_BYTES, Answer, ApiError
from mesh_lab.apps.http.messages import HOP_BY_HOP, Headers, Pairs, Tls
from mesh_lab.apps.http.secured import tls_of

FRAME_HEADER_BYTES = 9
GOAWAY = 0x7
MAX_STREAM_ID = 2**31 - 1
TRAILERS = ("te", "trailers")
"""What may be said of a connection in HTTP/2 (RFC 9113, 8.2.2), and is by gRPC's clients."""


@dataclass(slots=True)
class Exchange:
    """One request under way."""

    answer: asyncio.Future[Answer]
    pairs: Pairs = field(default_factory=list)
    trailers: Pairs = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)


class Http2Connection(asyncio.Protocol):
    """See mesh_lab.apps.http.client.ClientConnection."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self._transport: asyncio.Transport | None = None
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="latin-1"))
        self._exchanges: dict[int, Exchange] = {}
        self._changed = asyncio.Event()
        self._going_away = False
        self._received = bytearray()
        self._tls: Tls | None = None

    @property
    def usable(self) -> bool:
        """See ClientConnection."""
        return not self._going_away and self._transport is not None and not self._transport.is_closing()

    async def request(self, method: str, target: str, fields: Mapping[str, str], body: bytes) -> Answer:
        """See ClientConnection."""
        await self._wait_for_a_slot()
        stream = self._h2.get_next_available_stream_id()
        exchange = Exchange(asyncio.get_running_loop().create_future())
        self._exchanges[stream] = exchange
        try:
            self._h2.send_headers(stream, self._fields(method, target, fields), end_stream=not body)
            self._flush()
            await self._send_body(stream, body)
            return await exchange.answer
        except h2.exceptions.ProtocolError as error:
            raise ApiError("protocol", str(error)) from error
        except asyncio.CancelledError:
            self._cancel(stream)
            raise
        finally:
            self._exchanges.pop(stream, None)
            self._changed.set()

    def close(self) -> None:
        """See ClientConnection."""
        if self._transport is not None:
            self._transport.close()

    async def _wait_for_a_slot(self) -> None:
        while len(self._exchanges) >= self._h2.remote_settings.max_concurrent_streams:
            self._changed.clear()
            await self._changed.wait()
        if not self.usable:
            raise ApiError("reset", "the other side is closing the connection")

    def _fields(self, method: str, target: str, fields: Mapping[str, str]) -> Pairs:
        lowered = {name.lower(): value for name, value in fields.items()}
        pseudo = [
            (":method", method),
            (":scheme", self._scheme),
            (":authority", lowered.pop("host")),
            (":path", target),
        ]
        return pseudo + [
            (name, value) for name, value in lowered.items() if name not in HOP_BY_HOP or (name, value) == TRAILERS
        ]

    async def _send_body(self, stream: int, body: bytes) -> None:
        while body:
            window = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if window <= 0:
                self._changed.clear()
                await self._changed.wait()
                continue
            piece, body = body[:window], body[window:]
            self._h2.send_data(stream, piece, end_stream=not body)
            self._flush()

    def _cancel(self, stream: int) -> None:
        try:
            self._h2.reset_stream(stream, error_code=0x8)
            self._flush()
        except h2.exceptions.ProtocolError:
            return  # the stream has ended by itself

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface and the settings."""
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._tls = transport, tls_of(transport)
        self._h2.initiate_connection()
        # The default windows (64 KiB) would make a large answer wait for a round trip every four frames.
        self._h2.increment_flow_control_window(MAX_BODY_BYTES)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Handle the frames that are complete."""
        self._received += data
        try:
            while frame := self._next_frame():
                if frame[3] == GOAWAY:
                    self._on_goaway(int.from_bytes(frame[9:13]) & MAX_STREAM_ID)
                    continue
                for event in self._h2.receive_data(frame):
                    self._on_event(event)
        except h2.exceptions.ProtocolError as error:
            self._fail_all(ApiError("protocol", f"the answer is not HTTP/2: {error}"))
            self.close()
            return
        self._flush()
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """Fail all requests under way."""
        detail = (
            f"{error.strerror or error}"
            if isinstance(error, OSError)
            else "closed by the other side before the whole answer"
        )
        self._fail_all(ApiError("reset", detail))

    def _next_frame(self) -> bytes:
        """One whole frame (RFC 9113, 4.1), or nothing yet."""
        length = FRAME_HEADER_BYTES + int.from_bytes(self._received[:3])
        if len(self._received) < length or len(self._received) < FRAME_HEADER_BYTES:
            return b""
        frame = bytes(self._received[:length])
        del self._received[:length]
        return frame

    def _on_goaway(self, last: int) -> None:
        # h2 takes GOAWAY for the end of everything. It ends only the streams above `last` (RFC 9113, 6.8), and a
        # proxy that drains its connections relies on that.
        self._going_away = True
        for stream, exchange in self._exchanges.items():
            if stream > last and not exchange.answer.done():
                exchange.answer.set_exception(ApiError("reset", "the other side went away before this request"))

    def _on_event(self, event: h2.events.Event) -> None:
        exchange = self._exchanges.get(getattr(event, "stream_id", 0) or 0)
        if isinstance(event, h2.events.DataReceived):
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if exchange is None or exchange.answer.done():
            return
        if isinstance(event, h2.events.ResponseReceived):
            exchange.pairs = list(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            exchange.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            exchange.body.extend(event.data)
            if len(exchange.body) > MAX_BODY_BYTES:
                exchange.answer.set_exception(ApiError("protocol", f"an answer of more than {MAX_BODY_BYTES} bytes"))
        elif isinstance(event, h2.events.StreamEnded):
            exchange.answer.set_result(_answer(exchange, self._tls))
        elif isinstance(event, h2.events.StreamReset):
            exchange.answer.set_exception(ApiError("reset", f"the stream was reset with error code {event.error_code}"))

    def _fail_all(self, error: ApiError) -> None:
        self._going_away = True
        for exchange in self._exchanges.values():
            if not exchange.answer.done():
                exchange.answer.set_exception(error)
        self._changed.set()

    def _flush(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)


def _answer(exchange: Exchange, tls: Tls | None) -> Answer:
    status = next((value for name, value in exchange.pairs if name == ":status"), "0")
    headers = Headers(pair for pair in exchange.pairs if not pair[0].startswith(":"))
    return Answer(int(status), headers, bytes(exchange.body), "HTTP/2", Headers(exchange.trailers), tls)
