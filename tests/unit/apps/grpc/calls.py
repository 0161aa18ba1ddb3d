"""A call of gRPC over the lab's HTTP/2 client."""

from __future__ import annotations

import struct
from contextlib import closing

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.client import Client, parse_url


async def post(url: str, method: str, body: bytes, **headers: str) -> Answer:
    """POST to a method's path."""
    origin, _ = parse_url(url)
    with closing(Client(origin, http2=True)) as client:
        given = {"content-type": "application/grpc", "te": "trailers", **headers}
        return await client.request("POST", method, given, body)


async def call(url: str, method: str, message: bytes, **headers: str) -> wire.Fields:
    """The answer's fields."""
    answer = await post(url, method, struct.pack(">BI", 0, len(message)) + message, **headers)
    assert answer.status == 200
    assert "grpc-status" not in answer.headers, dict(answer.headers.pairs)
    return wire.decode(answer.body[5:])
