"""The echo server's answers to calls of gRPC: any method of any service, over the same ports.

The answer's message is a `google.protobuf.StringValue`: its text is the JSON that a request over HTTP gets.
"""

from __future__ import annotations

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import INVALID_ARGUMENT, OK, UNIMPLEMENTED, failed
from mesh_lab.apps.grpc.framing import framed
from mesh_lab.apps.http.messages import Response

HTTP_OK = 200
HEALTH, SERVING = "/grpc.health.v1.Health/Check", 1
"""Answered as that service does (https://grpc.io/docs/guides/health-checking/), for clients with stubs for it."""
CODES = {200: OK, 400: INVALID_ARGUMENT, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""gRPC's codes for what a request over HTTP is answered with, as its clients read such answers
(https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md); 400 is the caller's wrong instruction."""
UNKNOWN = 2


def as_answer(path: str, response: Response) -> Response:
    """The same answer as one of gRPC's to a call of the method at this path."""
    fields = list(response.fields)
    if not isinstance(response.body, bytes):
        return failed(UNIMPLEMENTED, "`size` is for requests over HTTP", fields)
    code = CODES.get(response.status, OK if response.status < HTTP_OK + 100 else UNKNOWN)
    if code != OK:
        asked = "as asked" if code != INVALID_ARGUMENT else response.body.decode("utf-8", "replace").strip()
        return failed(code, asked, fields)
    message = framed(wire.encode({1: SERVING if path == HEALTH else response.body}))
    return Response(HTTP_OK, message, "application/grpc", fields, [("grpc-status", "0")])
