"""A handler for gRPC's calls with one answer (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import INVALID_ARGUMENT, UNIMPLEMENTED, failed
from mesh_lab.apps.grpc.framing import CONTENT_TYPE, FramingError, framed, unframed

# A server imports HTTP/2 when it is first spoken; Envoy's rate limit filter waits for as long as that takes, 20 ms.
from mesh_lab.apps.http import http2_server as _at_once  # noqa: F401
from mesh_lab.apps.http.messages import Request, Response

Method = Callable[[bytes, Request], Awaitable[bytes]]
StreamMethod = Callable[[AsyncIterator[bytes], Request], Awaitable[bytes]]
"""A method whose client sends any number of messages; it answers when the last has come."""

_SERVING = 1


class GrpcError(Exception):
    """A call that fails with a code (https://grpc.io/docs/guides/status-codes/) and a message."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class GrpcServer:
    """Answers calls of `methods`, by path (`/package.Service/Method`), and the health check of grpc.health.v1.

    Those of `streams` take the client's messages as they come.
    """

    def __init__(self, methods: Mapping[str, Method], streams: Mapping[str, StreamMethod] | None = None) -> None:
        self._methods = {"/grpc.health.v1.Health/Check": _healthy, **methods}
        self._streams = dict(streams or {})

    def streams(self, path: str) -> bool:
        """See Streaming."""
        return path in self._streams

    async def __call__(self, request: Request) -> Response:
        """Answer one call; what is none is refused with an HTTP status."""
        if request.method != "POST" or not request.headers.get("content-type").startswith(CONTENT_TYPE):
            return Response(415, b"this port speaks gRPC\n")
        method = self._methods.get(request.path)
        stream = self._streams.get(request.path)
        try:
            if stream is not None and request.pieces is not None:
                answer = await stream(_messages(request.pieces), request)
            elif method is not None:
                answer = await method(_unframed(request.body), request)
            else:
                return failed(UNIMPLEMENTED, f"unknown method {request.path}")
        except wire.WireError as error:
            return failed(INVALID_ARGUMENT, str(error))
        except GrpcError as error:
            return failed(error.code, str(error))
        return Response(200, framed(answer), CONTENT_TYPE, trailers=[("grpc-status", "0"), ("grpc-message", "")])


def _unframed(body: bytes) -> bytes:
    try:
        return unframed(body)
    except FramingError as error:
        raise GrpcError(UNIMPLEMENTED if error.unsupported else INVALID_ARGUMENT, str(error)) from None


async def _messages(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The messages of a stream, each as soon as it is whole."""
    rest = b""
    async for piece in pieces:
        rest += piece
        while len(rest) >= 5 and len(rest) >= 5 + (length := struct.unpack(">BI", rest[:5])[1]):
            yield _unframed(rest[: 5 + length])
            rest = rest[5 + length :]


async def _healthy(_: bytes, __: Request) -> bytes:
    return wire.encode({1: _SERVING})
