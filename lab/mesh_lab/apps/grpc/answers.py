"""What tells a call of gRPC from other requests, and one that failed; servers need no more of gRPC for that."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from mesh_lab.apps.grpc.framing import CONTENT_TYPE
from mesh_lab.apps.http.messages import Request, Response

OK, INVALID_ARGUMENT, NOT_FOUND, UNIMPLEMENTED, UNAVAILABLE = 0, 3, 5, 12, 14


def is_call(request: Request) -> bool:
    """Whether a request is one of gRPC's, for ports that serve more than that."""
    return request.headers.get("content-type").startswith(CONTENT_TYPE)


def failed(code: int, detail: str, more: Sequence[tuple[str, str]] = ()) -> Response:
    """A response of headers only (with `more` of them), which is how a failure without an answer is told."""
    message = quote(detail, safe=" ,.:;/'\"()`")
    return Response(200, b"", CONTENT_TYPE, [("grpc-status", str(code)), ("grpc-message", message), *more])
