"""The part of SPDY/3.1 that port-forwarding uses inside a WebSocket: streams that open, carry data and end.

https://www.chromium.org/spdy/spdy-protocol/spdy-protocol-draft3-1/ . Flow control is left out: kubectl's side does not
use it, and the WebSocket below limits a fast sender. Priorities and settings are ignored.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_VERSION = 3
_SYN_STREAM, _SYN_REPLY, _RST_STREAM, _PING, _GOAWAY = 1, 2, 3, 6, 7
_FIN = 1
_CANCEL = 5
_HEADERS_LIMIT = 64 * 1024

_WORDS = (
    "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow "
    "authorization cache-control connection content-base content-encoding content-language content-length "
    "content-location content-md5 content-range content-type date etag expect expires from host if-match "
    "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma "
    "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade "
    "user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie "
    "keep-alive origin"
)
_PHRASES = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden"
    "404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,"
    "publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _prefixed(text: str) -> bytes:
    data = text.encode()
    return struct.pack(">I", len(data)) + data


DICTIONARY = b"".join(_prefixed(word.replace("_", " ")) for word in _WORDS.split()) + _PHRASES.encode()
"""The initial dictionary of the header compression (section 2.6.10.1 of the protocol)."""


class SpdyError(Exception):
    """The peer violates SPDY/3.1."""


@dataclass(frozen=True)
class Opened:
    """The peer opens a stream; `ended` means that it will send no data on it."""

    stream: int
    headers: Mapping[str, str]
    ended: bool


@dataclass(frozen=True)
class Data:
    """Data on a stream; `ended` means that it is the last."""

    stream: int
    data: bytes
    ended: bool


@dataclass(frozen=True)
class Reset:
    """The peer resets a stream."""

    stream: int


@dataclass(frozen=True)
class Ping:
    """The peer wants the same number back."""

    number: int


@dataclass(frozen=True)
class GoAway:
    """The peer opens no more streams."""


Frame = Opened | Data | Reset | Ping | GoAway


class Decoder:
    """Decodes bytes into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete with `data`.

        Raises:
            SpdyError: the data is not SPDY.
        """
        self._buffer += data
        while len(self._buffer) >= 8:
            first, second = struct.unpack_from(">II", self._buffer)
            if first >> 31 and first >> 16 & 0x7FFF != _VERSION:
                raise SpdyError(f"SPDY version {first >> 16 & 0x7FFF} where {_VERSION} is spoken")
            flags, length = second >> 24, second & 0xFFFFFF
            if len(self._buffer) < 8 + length:
                return
            body = bytes(self._buffer[8 : 8 + length])
            del self._buffer[: 8 + length]
            if not first >> 31:
                yield Data(first, body, bool(flags & _FIN))
            elif (frame := self._control(first & 0xFFFF, flags, body)) is not None:
                yield frame

    def _control(self, kind: int, flags: int, body: bytes) -> Frame | None:
        try:
            if kind == _SYN_STREAM:
                stream = struct.unpack_from(">I", body)[0] & 0x7FFFFFFF
                return Opened(stream, self._headers(body[10:]), bool(flags & _FIN))
            if kind == _RST_STREAM:
                return Reset(struct.unpack_from(">I", body)[0] & 0x7FFFFFFF)
            if kind == _PING:
                return Ping(struct.unpack_from(">I", body)[0])
        except struct.error as error:
            raise SpdyError(f"a control frame of type {kind} is too short") from error
        return GoAway() if kind == _GOAWAY else None

    def _headers(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._inflate.decompress(block, _HEADERS_LIMIT)
        except zlib.error as error:
            raise SpdyError("compressed headers cannot be read") from error
        if self._inflate.unconsumed_tail:
            raise SpdyError(f"headers are larger than {_HEADERS_LIMIT} bytes")
        (count,) = struct.unpack_from(">I", plain)
        at, words = 4, []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, at)
            if at + 4 + length > len(plain):
                raise SpdyError("headers end within a word")
            words.append(plain[at + 4 : at + 4 + length].decode("latin-1"))
            at += 4 + length
        return dict(zip(words[::2], words[1::2], strict=True))


class Encoder:
    """Makes frames.

    Frames have to be sent in the order in which they are made, since headers are compressed together.
    """

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def opened(self, stream: int, headers: Mapping[str, str], *, ended: bool = False) -> bytes:
        """Open a stream."""
        body = struct.pack(">IIH", stream, 0, 0) + self._headers(headers)
        return _control(_SYN_STREAM, body, _FIN if ended else 0)

    def reply(self, stream: int) -> bytes:
        """Accept a stream."""
        return _control(_SYN_REPLY, struct.pack(">I", stream) + self._headers({}))

    def data(self, stream: int, data: bytes, *, ended: bool = False) -> bytes:
        """Data on a stream, at most 16 MiB."""
        return struct.pack(">II", stream, (_FIN if ended else 0) << 24 | len(data)) + data

    def reset(self, stream: int) -> bytes:
        """Reset a stream."""
        return _control(_RST_STREAM, struct.pack(">II", stream, _CANCEL))

    def ping(self, number: int) -> bytes:
        """Answer a ping."""
        return _control(_PING, struct.pack(">I", number))

    def _headers(self, headers: Mapping[str, str]) -> bytes:
        words = b"".join(_prefixed(key) + _prefixed(value) for key, value in headers.items())
        plain = struct.pack(">I", len(headers)) + words
        return self._deflate.compress(plain) + self._deflate.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">II", 1 << 31 | _VERSION << 16 | kind, flags << 24 | len(body)) + body
