"""Faults as JSON: whatever is written is read again, and what is none is refused with its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.networkfaults import (
    BOTH,
    EGRESS,
    INGRESS,
    KINDS,
    Delay,
    Fault,
    FaultError,
    Loss,
    Partition,
    Port,
    asked_for,
    count_of,
    described,
    packets_in,
    parse,
    written,
)

UNTIL = "2026-01-31T12:00:00Z"
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)

ports = st.builds(Port, port=st.integers(1, 65535), protocol=st.sampled_from(["TCP", "UDP"]))
common: dict[str, Any] = {
    "until": st.datetimes(timezones=st.just(UTC)),
    "peers": st.lists(st.ip_addresses().map(str), max_size=4).map(tuple),
    "ports": st.lists(ports, max_size=4).map(tuple),
}
directions = st.sampled_from([BOTH, EGRESS, INGRESS])
delays = st.floats(0.001, 60).flatmap(
    lambda seconds: st.builds(Delay, seconds=st.just(seconds), jitter=st.floats(0, seconds), **common)
)
faults: st.SearchStrategy[Fault] = st.one_of(
    st.builds(Partition, direction=directions, **common),
    st.builds(Loss, ratio=st.floats(0.0001, 1), direction=directions, **common),
    delays,
)


@given(faults)
def test_what_is_written_is_read_again_and_can_be_told(fault: Fault) -> None:
    assert parse(written(fault)) == fault
    assert json.loads(written(fault))["kind"] in KINDS
    assert "until" in described(fault)


@given(st.text() | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_any_text_is_a_fault_or_refused(text: str) -> None:
    try:
        assert parse(text)
    except FaultError as error:
        assert str(error)  # noqa: PT017 - either is right, another exception is not


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "earthquake"}, "$.kind"),
        ({"kind": "loss"}, "`ratio`"),
        ({"kind": "loss", "ratio": 1.5}, "$.ratio"),
        ({"kind": "loss", "ratio": 0}, "$.ratio"),
        ({"kind": "delay", "seconds": 61}, "$.seconds"),
        ({"kind": "delay", "seconds": 0.1, "jitter": 0.2}, "$.jitter"),
        ({"kind": "delay", "seconds": 0.1, "direction": "both"}, "$.direction"),
        ({"until": "tomorrow"}, "$.until"),
        ({"until": "2026-01-31T12:00:00"}, "$.until"),
        ({"peers": ["10.0.0.1", "echo"]}, "$.peers[1]"),
        ({"peers": ["10.0.0.1/8"]}, "$.peers[0]"),
        ({"peers": ["10.0.0.1; drop"]}, "$.peers[0]"),
        ({"peers": ["10.0.0.1"] * 257}, "$.peers"),
        ({"ports": [{"port": 0}]}, "$.ports[0].port"),
        ({"ports": [{"port": 80, "protocol": "SCTP"}]}, "$.ports[0].protocol"),
        ({"direction": "sideways"}, "$.direction"),
        ({"peer": []}, "`peer`"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(FaultError) as refused:
        parse(json.dumps({"kind": "partition", "until": UNTIL} | change))
    assert words in str(refused.value)


def test_a_fault_is_told_in_words() -> None:
    fault = Loss(until=MOMENT, ratio=0.25, peers=("10.0.0.1",), ports=(Port(53, "UDP"),), direction=EGRESS)
    assert (
        described(fault) == "25.00% of the packets to 10.0.0.1 at UDP 53 are dropped until 2026-01-31T12:00:00.000000Z"
    )
    assert described(Partition(until=MOMENT)).startswith("every packet to and from anyone is dropped until")
    held = Delay(until=MOMENT, seconds=0.1, jitter=0.05)
    assert described(held).startswith("every packet to anyone is held back for 0.1 s, more or less 0.05 s, until")


def test_the_number_of_packets_is_read_from_the_words_that_tell_it() -> None:
    assert packets_in(f"until then; {count_of(17)}") == 17
    assert packets_in("until then") is None


def test_annotations_of_others_ask_for_nothing() -> None:
    annotations = {"chaos.mesh-lab/a": "{}", "chaos.example/b": "{}", "sidecar.istio.io/inject": "true"}
    assert list(asked_for(annotations)) == [("chaos.mesh-lab/a", "{}")]
