"""gRPC at any site: the health service, which says that the server serves.

https://github.com/grpc/grpc/blob/master/doc/health-checking.md; the wire format is that of gRPC over HTTP/2.
"""

from __future__ import annotations

from mesh_lab.apps.http.messages import Request, Response

_TYPE = "application/grpc"
_CHECK = "/grpc.health.v1.Health/Check"
_SERVING = b"\0\0\0\0\2\x08\x01"  # not compressed, two bytes: field 1, SERVING
_UNIMPLEMENTED = "12"


def asked(request: Request) -> bool:
    """Whether the request is one of gRPC."""
    return request.protocol == "HTTP/2" and request.headers.get("content-type").startswith(_TYPE)


def answer(request: Request) -> Response:
    """Answer a health check; any other method is not implemented."""
    if request.path != _CHECK:
        return Response(200, b"", _TYPE, {"grpc-status": _UNIMPLEMENTED, "grpc-message": "not implemented"})
    return Response(200, _SERVING, _TYPE, trailers=(("grpc-status", "0"),))
