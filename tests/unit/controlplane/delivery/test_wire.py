"""Responses put together by hand are what protobuf would have made of them."""

from __future__ import annotations

from dataclasses import dataclass

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.delivery import wire
from mesh_lab.controlplane.delivery.messages import Request, Response
from mesh_lab.controlplane.world.kubernetes import Origin
from mesh_lab.controlplane.xds.typeurls import CDS, SDS


@dataclass(frozen=True)
class Thing:
    name: str
    version: str
    body: bytes
    origins: tuple[Origin, ...] = ()


def thing(name: str, size: int) -> Thing:
    """Equal versions are equal bytes."""
    return Thing(name, f"of {size}", AnyMessage(type_url="t/x", value=b"x" * size).SerializeToString())


things = st.builds(thing, st.text(), st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 100_000]))


@given(st.sampled_from([CDS, SDS]), st.text(), st.lists(things, max_size=4), st.lists(st.text(), max_size=3))
@settings(deadline=None)
def test_a_response_reads_as_what_was_put_in(url: str, nonce: str, put: list[Thing], removed: list[str]) -> None:
    framer = wire.Framer()
    response = Response(url, nonce, tuple(put), tuple(removed), 7)
    for _ in range(2):
        read = DeltaDiscoveryResponse.FromString(framer.encode(response))
        assert (read.type_url, read.nonce, list(read.removed_resources)) == (url, nonce, removed)
        assert [(r.name, r.version, r.resource.SerializeToString()) for r in read.resources] == [
            (t.name, t.version, t.body) for t in put
        ]


def test_what_is_remembered_is_bounded_however_large_resources_are() -> None:
    framer, most = wire.Framer(), 0
    for size in range(3_000_000, 3_000_020):
        large = Response(CDS, "1", (thing("routes", size),), (), 1)
        assert len(framer.encode(large)) > size
        most = max(most, framer.size)
    assert 3_000_000 < most <= wire.MOST_BYTES
    before = framer.size
    framer.encode(Response(CDS, "1", (thing("routes", 3_000_019),), (), 1))
    assert framer.size == before, "it was remembered"
    larger_than_all = thing("routes", wire.MOST_BYTES + 1)
    assert len(framer.encode(Response(CDS, "1", (larger_than_all,), (), 1))) > wire.MOST_BYTES
    assert framer.size == 0


def test_a_request_is_read() -> None:
    message = DeltaDiscoveryRequest(
        type_url=CDS,
        response_nonce="3",
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"c": "1"},
    )
    assert wire.request(message) == Request(CDS, "3", None, ("a",), ("b",), {"c": "1"})
    message.error_detail.CopyFrom(Status(code=13, message="no"))
    assert wire.request(message).error == "no"
    message.error_detail.message = ""
    assert wire.request(message).error, "a refusal without words is one all the same"
