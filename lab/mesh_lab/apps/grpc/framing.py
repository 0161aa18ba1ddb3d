"""The frame around a message of gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import struct

HEADER_BYTES = 5
CONTENT_TYPE = "application/grpc"


class FramingError(ValueError):
    """Bytes that are not one plain message; `unsupported` where they may be another form that gRPC knows."""

    def __init__(self, detail: str, *, unsupported: bool) -> None:
        super().__init__(detail)
        self.unsupported = unsupported


def framed(message: bytes) -> bytes:
    """A message with its frame, not compressed."""
    return struct.pack(">BI", 0, len(message)) + message


def unframed(body: bytes) -> bytes:
    """The one message in a body.

    Raises:
        FramingError: there is none, or several, or it is compressed.
    """
    if len(body) < HEADER_BYTES:
        raise FramingError("a call of no message", unsupported=False)
    compressed, length = struct.unpack(">BI", body[:HEADER_BYTES])
    if compressed:
        raise FramingError("compressed messages", unsupported=True)
    if len(body) != length + HEADER_BYTES:
        raise FramingError("a call of several messages", unsupported=True)
    return body[HEADER_BYTES:]
