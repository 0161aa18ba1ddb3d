"""A handler for gRPC's unary calls (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md)."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import quote

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.messages import Request, Response

Method = Callable[[bytes, Request], Awaitable[bytes]]

OK, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNAVAILABLE = 0, 3, 5, 12, 14
_TYPE = "application/grpc"
_SERVING = 1


class GrpcError(Exception):
    """A call that fails with a code (https://grpc.io/docs/guides/status-codes/) and a message."""

    def __init__(self, code: int, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class GrpcServer:
    """Answers calls of `methods`, by path (`/package.Service/Method`), and the health check of grpc.health.v1."""

    def __init__(self, methods: Mapping[str, Method]) -> None:
        self._methods = {"/grpc.health.v1.Health/Check": _healthy, **methods}

    async def __call__(self, request: Request) -> Response:
        """Answer one call; what is none is refused with an HTTP status."""
        if request.method != "POST" or not request.headers.get("content-type").startswith(_TYPE):
            return Response(415, b"this port speaks gRPC\n")
        method = self._methods.get(request.path)
        if method is None:
            return _failed(UNIMPLEMENTED, f"unknown method {request.path}")
        try:
            answer = await method(_unframed(request.body), request)
        except wire.WireError as error:
            return _failed(INVALID_ARGUMENT, str(error))
        except GrpcError as error:
            return _failed(error.code, str(error))
        return Response(200, _framed(answer), _TYPE, trailers=[("grpc-status", "0"), ("grpc-message", "")])


def is_call(request: Request) -> bool:
    """Whether a request is one of gRPC's, for ports that serve more than that."""
    return request.headers.get("content-type").startswith(_TYPE)


def _failed(code: int, detail: str) -> Response:
    """A response of headers only, which is how a failure without an answer is told."""
    return Response(200, b"", _TYPE, [("grpc-status", str(code)), ("grpc-message", quote(detail, safe=" ,.:;/'\"()`"))])


def _framed(message: bytes) -> bytes:
    return struct.pack(">BI", 0, len(message)) + message


def _unframed(body: bytes) -> bytes:
    if len(body) < 5:
        raise GrpcError(INVALID_ARGUMENT, "a call of no message")
    compressed, length = struct.unpack(">BI", body[:5])
    if compressed:
        raise GrpcError(UNIMPLEMENTED, "compressed messages")
    if len(body) != length + 5:
        raise GrpcError(UNIMPLEMENTED, "a call of several messages")
    return body[5:]


async def _healthy(_: bytes, __: Request) -> bytes:
    return wire.encode({1: _SERVING})
