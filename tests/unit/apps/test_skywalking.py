"""SkyWalking's protocols of the store of traces."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.connection import Streaming
from mesh_lab.apps.http.messages import Headers, Request, Response
from mesh_lab.apps.tracestore.program import Forwarder, Receiver
from mesh_lab.apps.tracestore.skywalking import SEGMENTS, spans_of
from mesh_lab.apps.tracestore.spans import Span, Store
from tests.unit.apps.conftest import Start

NOW = 1_700_000_000_000
"""In milliseconds."""
ENTRY, EXIT = 0, 1
QUERY = (
    "query queryTraces($condition: TraceQueryCondition) { result: queryBasicTraces(condition: $condition) "
    "{ traces { key: segmentId endpointNames duration start isError traceIds } } }"
)


def segment(
    name: str,
    *,
    service: str = "shop.default",
    start: int = NOW,
    length: int = 5,
    failed: bool = False,
) -> bytes:
    """A segment of an entry and an exit below it, as a proxy reports them."""
    reference = wire.encode({2: "t", 3: "above", 4: 1})
    tag = wire.encode({1: "status_code", 2: "200"})
    minus_one = -1
    entry = wire.encode(
        {1: 0, 2: minus_one, 3: start, 4: start + length, 5: [reference], 6: "/a", 8: ENTRY, 11: failed, 12: [tag]}
    )
    leave = wire.encode({1: 1, 2: 0, 3: start + 1, 4: start + 2, 6: "/b", 8: EXIT})
    return wire.encode({1: f"trace-{name}", 2: name, 3: [entry, leave], 4: service, 5: "pod-1"})


def filled(*segments: bytes) -> Receiver:
    store = Store()
    for one in segments:
        store.add(spans_of(one))
    return Receiver(store, "skywalking")


def asked(receiver: Receiver, query: str = QUERY, **condition: Any) -> Any:
    body = json.dumps({"query": query, "variables": {"condition": condition}}).encode()
    response = asyncio.run(receiver(Request("POST", "/graphql", Headers([]), body)))
    assert response.status == 200
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def keys(receiver: Receiver, **condition: Any) -> list[str]:
    return [trace["key"] for trace in asked(receiver, **condition)["data"]["result"]["traces"]]


def service(name: str) -> str:
    return base64.b64encode(name.encode()).decode() + ".1"


def test_a_segment_is_spans_of_one_service_below_that_of_the_caller() -> None:
    entry, leave = spans_of(segment("one", failed=True))
    assert entry == Span(
        trace="trace-one",
        id="one-0",
        parent="above-1",
        name="/a",
        service="shop.default",
        kind="SERVER",
        start=NOW * 1000,
        duration=5000,
        tags={"status_code": "200", "error": "true"},
        resource={"segment": "one", "instance": "pod-1"},
    )
    assert (leave.id, leave.parent, leave.kind, leave.tags) == ("one-1", "one-0", "CLIENT", {})


def test_a_query_tells_of_segments_with_the_fields_and_names_that_it_asks_for() -> None:
    found = asked(filled(segment("one")), serviceId=service("shop.default"))
    basic = {
        "key": "one",
        "endpointNames": ["/a"],
        "duration": 5,
        "start": str(NOW),
        "isError": False,
        "traceIds": ["trace-one"],
    }
    assert found == {"data": {"result": {"traces": [basic]}}}


def test_conditions_choose_order_and_divide_into_pages() -> None:
    receiver = filled(
        segment("slow", start=NOW, length=90),
        segment("bad", start=NOW + 1000, failed=True),
        segment("other", start=NOW + 2000, service="ratings.default"),
        segment("late", start=NOW + 3_600_000),
    )
    assert keys(receiver) == ["late", "other", "bad", "slow"], "the latest first"
    assert keys(receiver, serviceId=service("ratings.default")) == ["other"]
    assert keys(receiver, traceState="ERROR") == ["bad"]
    assert keys(receiver, traceState="SUCCESS", queryOrder="BY_DURATION")[0] == "slow"
    assert keys(receiver, minTraceDuration=6, maxTraceDuration=100) == ["slow"]
    assert keys(receiver, traceId="trace-bad") == ["bad"]
    assert keys(receiver, paging={"pageNum": 2, "pageSize": 3}) == ["slow"]
    minute = time.strftime("%Y-%m-%d %H%M", time.localtime(NOW / 1000))
    within = {"start": minute, "end": minute, "step": "MINUTE"}
    assert keys(receiver, queryDuration=within) == ["other", "bad", "slow"]


@pytest.mark.parametrize(
    ("query", "condition", "words"),
    [
        ("{ version }", {}, "answers queryBasicTraces and its traces only"),
        (QUERY.replace("isError", "colour"), {}, "no field colour"),
        (QUERY, {"serviceId": "?.1"}, "serviceId"),
        (QUERY, {"queryDuration": {"start": "x", "end": "y"}}, "condition: "),
    ],
)
def test_what_it_does_not_understand_is_an_error_of_the_query(query: str, condition: Any, words: str) -> None:
    found = asked(filled(segment("one")), query, **condition)
    assert found["data"] is None
    assert words in found["errors"][0]["message"]


def test_its_port_takes_segments_as_they_come() -> None:
    receiver = filled()
    assert isinstance(receiver, Streaming)
    assert receiver.streams(SEGMENTS)
    assert not receiver.streams("/graphql")


async def test_the_page_is_that_of_the_server_behind_it(start: Start) -> None:
    _, url = await start(filled(segment("one")))
    passed = await Forwarder(url)(Request("GET", "/?service=shop.default", Headers([])))
    assert passed.status == 200
    assert isinstance(passed.body, bytes)
    assert b"trace-one" in passed.body
    assert passed.content_type.startswith("text/html")
    gone: Response = await Forwarder("http://127.0.0.1:1")(Request("GET", "/", Headers([])))
    assert gone.status == 502
