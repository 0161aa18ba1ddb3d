"""The store of traces: what comes in by one protocol goes out by the others."""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.messages import Headers, Request, Response
from mesh_lab.apps.tracestore.program import TRACES, Receiver
from mesh_lab.apps.tracestore.spans import Span, Store

TRACE, PARENT, CHILD = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
ZIPKIN = [
    {
        "traceId": TRACE,
        "id": PARENT,
        "kind": "CLIENT",
        "name": "reviews.default.svc.cluster.local:9080/*",
        "timestamp": 1_700_000_000_000_000,
        "duration": 5000,
        "localEndpoint": {"serviceName": "productpage.default", "ipv4": "10.244.0.3", "port": 0},
        "tags": {"http.status_code": "200", "component": "proxy"},
    },
    {
        "traceId": TRACE,
        "id": CHILD,
        "parentId": PARENT,
        "kind": "SERVER",
        "name": "reviews.default.svc.cluster.local:9080/*",
        "timestamp": 1_700_000_000_001_000,
        "duration": 3000,
        "localEndpoint": {"serviceName": "reviews.default"},
        "tags": {"http.status_code": "503"},
    },
]


def asked(receiver: Receiver, method: str, target: str, body: bytes = b"", kind: str = "") -> Response:
    return asyncio.run(receiver(Request(method, target, Headers([("content-type", kind)]), body)))


def read(response: Response) -> Any:
    assert response.status == 200, response.body
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def attribute(key: str, value: str) -> bytes:
    return wire.encode({1: key, 2: wire.encode({1: value})})


def fixed64(number: int, value: int) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<Q", value)


def exported(item: bytes, **resource: str) -> bytes:
    """An export request with one span or record."""
    of = wire.encode({1: [attribute(name.replace("_", "."), value) for name, value in resource.items()]})
    return wire.encode({1: [wire.encode({1: of, 2: [wire.encode({2: [item]})]})]})


def span() -> bytes:
    fields = wire.encode(
        {1: bytes.fromhex(TRACE), 2: bytes.fromhex(CHILD), 4: bytes.fromhex(PARENT), 5: "ratings/*", 6: 2}
    )
    times = fixed64(7, 1_700_000_000_000_000_000) + fixed64(8, 1_700_000_000_002_000_000)
    return fields + times + wire.encode({9: [attribute("my-attribute", "default-value")]})


@pytest.fixture
def receiver() -> Receiver:
    found = Receiver(Store(), "jaeger")
    assert asked(found, "POST", "/api/v2/spans", json.dumps(ZIPKIN).encode()).status == 202
    return found


def test_zipkins_spans_come_out_as_they_went_in(receiver: Receiver) -> None:
    assert read(asked(receiver, "GET", "/zipkin/api/v2/services")) == ["productpage.default", "reviews.default"]
    (trace,) = read(asked(receiver, "GET", "/zipkin/api/v2/traces?serviceName=productpage.default"))
    assert trace == ZIPKIN
    assert read(asked(receiver, "GET", f"/api/v2/trace/{TRACE}")) == ZIPKIN
    assert read(asked(receiver, "GET", "/api/v2/traces?serviceName=nobody")) == []
    assert asked(receiver, "GET", "/api/v2/trace/12").status == 404


def test_jaeger_tells_the_same_trace(receiver: Receiver) -> None:
    assert read(asked(receiver, "GET", "/jaeger/api/services"))["data"] == ["productpage.default", "reviews.default"]
    (trace,) = read(asked(receiver, "GET", "/jaeger/api/traces?service=reviews.default&limit=5"))["data"]
    first, second = trace["spans"]
    assert trace["traceID"] == first["traceID"] == TRACE
    assert second["references"] == [{"refType": "CHILD_OF", "traceID": TRACE, "spanID": PARENT}]
    assert trace["processes"][second["processID"]]["serviceName"] == "reviews.default"
    assert {"key": "span.kind", "type": "string", "value": "server"} in second["tags"]
    assert asked(receiver, "GET", "/jaeger/api/traces").status == 400


def test_jaeger_finds_by_tags_and_by_operation(receiver: Receiver) -> None:
    for query, number in (
        ('tags={"http.status_code":"503"}', 1),
        ('tags={"http.status_code":"200"}', 0),
        ("operation=reviews.default.svc.cluster.local:9080/*", 1),
        ("operation=other", 0),
    ):
        found = read(asked(receiver, "GET", f"/api/traces?service=reviews.default&{query}"))["data"]
        assert len(found) == number, query


def test_otlp_over_grpc_and_http_is_taken() -> None:
    message = exported(span(), service_name="ratings.default")
    for target, kind, body in (
        (TRACES, "application/grpc", struct.pack(">BI", 0, len(message)) + message),
        ("/v1/traces", "application/x-protobuf", message),
    ):
        receiver = Receiver(Store(), "zipkin")
        assert asked(receiver, "POST", target, body, kind).status == 200
        (trace,) = read(asked(receiver, "GET", "/api/v2/traces"))
        assert trace == [
            {
                "traceId": TRACE,
                "parentId": PARENT,
                "id": CHILD,
                "kind": "SERVER",
                "name": "ratings/*",
                "timestamp": 1_700_000_000_000_000,
                "duration": 2000,
                "localEndpoint": {"serviceName": "ratings.default"},
                "tags": {"my-attribute": "default-value"},
            }
        ]


def test_what_is_no_message_is_refused() -> None:
    receiver = Receiver(Store(), "zipkin")
    assert asked(receiver, "POST", "/v1/traces", b"\xff\xff", "application/x-protobuf").status == 400
    assert asked(receiver, "POST", "/v1/traces", b"{}", "application/json").status == 415
    assert asked(receiver, "POST", "/api/v2/spans", b"{}x").status == 400


def test_the_page_shows_services_traces_and_spans(receiver: Receiver) -> None:
    for query, words in (("", "reviews.default"), ("?service=reviews.default", TRACE), (f"?trace={TRACE}", "3.0 ms")):
        answer = asked(receiver, "GET", f"/jaeger{query}")
        assert answer.status == 200
        assert isinstance(answer.body, bytes)
        assert words in answer.body.decode()


def test_the_oldest_traces_go() -> None:
    store = Store(3)
    for number in range(5):
        store.add([Span(f"{number}", "1", "", "n", "s", "", number, 1, {})])
    assert [spans[0].trace for spans in store.traces(limit=10)] == ["4", "3", "2"]
