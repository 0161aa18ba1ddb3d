"""What a rollout leaves on its route, and who may go on."""

from __future__ import annotations

import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.client.objects import Object
from mesh_lab.errors import LabError
from mesh_lab.load.claim import Claim
from mesh_lab.rollout.record import ANNOTATION, Record, RolloutUnderWay, annotated, read, resumed, unfinished

ME = Claim("here", 1, "1", 0.0)
AT_WORK = Claim.here(3_600)
GONE = Claim(platform.node(), 2**22 + 1, "7", 0.0, AT_WORK.until)


def route(text: str | None) -> Object:
    annotations = {} if text is None else {ANNOTATION: text}
    return {"kind": "VirtualService", "metadata": {"name": "shop", "namespace": "market", "annotations": annotations}}


def with_record(record: Record) -> Object:
    return route(annotated(record)[ANNOTATION])


@given(st.text(), st.integers(0, 50), st.text(), st.sampled_from([None, ME]))
def test_a_record_is_read_as_it_was_written(digest: str, step: int, canary: str, claim: Claim | None) -> None:
    record = Record(digest, step, canary, claim)
    assert read(with_record(record)) == record
    assert read(with_record(record.without_claim())) == Record(digest, step, canary)


def test_a_route_without_a_record_has_none() -> None:
    assert read(route(None)) is None
    assert read({"kind": "HTTPRoute", "metadata": {"name": "shop"}}) is None
    assert annotated(None) == {ANNOTATION: None}


@pytest.mark.parametrize("text", ["{", "[]", '{"digest": "a"}', "yes"])
def test_what_is_no_record_is_refused_with_what_removes_it(text: str) -> None:
    with pytest.raises(LabError, match="mesh-lab/rollout of VirtualService shop is no record of a rollout") as raised:
        read(route(text))
    assert raised.value.hint == "`kubectl annotate virtualservice -n market shop mesh-lab/rollout-` removes it."


@pytest.mark.parametrize("claim", [None, ME, GONE], ids=["interrupted", "mine", "its process is gone"])
def test_what_nobody_else_works_on_goes_on_at_its_step(claim: Claim | None) -> None:
    assert resumed(with_record(Record("a", 3, "v2", claim)), "a", ME) == 3


def test_what_another_process_works_on_is_its_own() -> None:
    with pytest.raises(RolloutUnderWay, match=r"to v2 is under way at step 3 \(process \d+ on ") as raised:
        unfinished(with_record(Record("a", 3, "v2", AT_WORK)), ME)
    assert "--abort" in raised.value.hint


def test_another_rollout_is_not_gone_over() -> None:
    with pytest.raises(RolloutUnderWay, match="another rollout, to v2, was interrupted at step 3"):
        resumed(with_record(Record("another", 3, "v2")), "a", ME)
