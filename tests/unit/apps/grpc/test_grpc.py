"""gRPC's unary calls and protobuf's wire format, held against the published libraries where they are at hand."""

from __future__ import annotations

import struct

import pytest
from google.protobuf import duration_pb2, struct_pb2

from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import NOT_FOUND
from mesh_lab.apps.grpc.server import GrpcError, GrpcServer
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call, post


def test_what_is_encoded_is_read_by_protobuf() -> None:
    data = wire.encode({1: 300, 2: -5})
    assert duration_pb2.Duration.FromString(data) == duration_pb2.Duration(seconds=300, nanos=-5)
    value = wire.encode({1: [wire.encode({1: "key", 2: wire.encode({3: "text"})})]})
    assert struct_pb2.Struct.FromString(value)["key"] == "text"


def test_what_protobuf_encodes_is_decoded() -> None:
    fields = wire.decode(duration_pb2.Duration(seconds=-1, nanos=7).SerializeToString())
    assert (wire.integer(fields, 1), wire.integer(fields, 2), wire.integer(fields, 9)) == (-1, 7, 0)
    value = struct_pb2.Struct()
    value.update({"a": "x", "n": 1.5})
    entries = {
        wire.text(entry, 1): wire.message(entry, 2)
        for entry in wire.messages(wire.decode(value.SerializeToString()), 1)
    }
    assert wire.text(entries["a"], 3) == "x"
    assert entries["n"][2] == [int.from_bytes(struct.pack("<d", 1.5), "little")]


@pytest.mark.parametrize("data", [b"\x08", b"\x0a\x05ab", b"\x0b", b"\x08" + b"\xff" * 11])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(wire.WireError):
        wire.decode(data)


async def echo(message: bytes, _: Request) -> bytes:
    return message


async def fail(_: bytes, __: Request) -> bytes:
    raise GrpcError(NOT_FOUND, "no such thing: é")


async def test_a_call_is_answered_with_a_message_and_trailers(start: Start) -> None:
    _, url = await start(GrpcServer({"/a.B/Echo": echo}))
    assert await call(url, "/a.B/Echo", wire.encode({1: "hello"})) == {1: [b"hello"]}
    assert await call(url, "/a.B/Echo", b"") == {}
    assert await call(url, "/grpc.health.v1.Health/Check", b"") == {1: [1]}


async def test_failures_have_a_status_of_grpcs(start: Start) -> None:
    _, url = await start(GrpcServer({"/a.B/Echo": echo, "/a.B/Fail": fail}))
    one = b"\0\0\0\0\0"
    failed = await post(url, "/a.B/Fail", one)
    assert (failed.status, failed.headers.get("grpc-status")) == (200, "5")
    assert failed.headers.get("grpc-message") == "no such thing: %C3%A9"
    assert (await post(url, "/a.B/None", one)).headers.get("grpc-status") == "12"
    assert (await post(url, "/a.B/Echo", one * 2)).headers.get("grpc-status") == "12"
    assert (await post(url, "/a.B/Echo", b"")).headers.get("grpc-status") == "3"
    assert (await fetch(url)).status == 415


async def test_the_echo_server_answers_a_health_check_and_says_its_version(start: Start) -> None:
    _, url = await start(Echo("v2"))
    answer = await post(url, "/grpc.health.v1.Health/Check", struct.pack(">BI", 0, 0))
    assert wire.integer(wire.decode(answer.body[5:]), 1) == 1
    assert answer.headers.get("x-echo-version") == "v2"
