"""What annotations ask for at a moment."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mesh_lab.kube.network.faults.wanted import Answer, Wanted, next_end, wanted
from mesh_lab.kube.objects.pods import Pod, read_pod
from mesh_lab.networkfaults import ENDED, REFUSED, Partition
from mesh_lab.rfc3339 import micro_timestamp

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEY = "chaos.mesh-lab/one"


def partition(seconds: float = 60, **more: Any) -> str:
    return json.dumps({"kind": "partition", "until": micro_timestamp(NOW + timedelta(seconds=seconds)), **more})


def pod(*texts: str, addresses: tuple[str, ...] = ("10.244.0.5",), host: bool = False, phase: str = "Running") -> Pod:
    annotations = {f"chaos.mesh-lab/{name}": text for name, text in zip(("one", "two"), texts, strict=False)}
    return read_pod(
        {
            "metadata": {"name": "web", "annotations": annotations | {"example.com/other": "{}"}},
            "spec": {"hostNetwork": host},
            "status": {"phase": phase, "podIPs": [{"ip": each} for each in addresses]},
        }
    )


def answer(found: dict[str, Wanted | Answer]) -> Answer:
    only = found[KEY]
    assert isinstance(only, Answer)
    return only


def test_each_annotation_is_a_fault_of_its_own() -> None:
    found = wanted(pod(partition(), partition(30)), NOW)
    assert found[KEY] == Wanted(Partition(until=NOW + timedelta(seconds=60)), ("10.244.0.5",))
    assert next_end(found) == NOW + timedelta(seconds=30)


@pytest.mark.parametrize("other", [pod(partition(), addresses=()), pod(partition(), phase="Succeeded"), pod()])
def test_a_pod_without_an_address_or_annotation_or_at_its_end_has_none(other: Pod) -> None:
    assert wanted(other, NOW) == {}
    assert next_end({}) is None


def test_a_fault_ends_at_its_moment() -> None:
    assert isinstance(wanted(pod(partition(0.001)), NOW)[KEY], Wanted)
    assert answer(wanted(pod(partition(0)), NOW)).reason == ENDED


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (pod("{}"), "`kind`"),
        (pod(partition(3601)), "more than 3600 s ahead"),
        (pod(partition(), host=True), "hostNetwork"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(of: Pod, words: str) -> None:
    refused = answer(wanted(of, NOW))
    assert refused.reason == REFUSED
    assert words in refused.message
