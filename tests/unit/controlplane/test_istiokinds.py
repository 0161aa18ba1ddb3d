"""The table of Istio's kinds, and what it makes of one that the lab does not act on."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.admission.validating import review
from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.workloads import WorkloadGroup
from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import bookinfo, config

SPEC: dict[str, Any] = {"template": {"serviceAccount": "vm", "ports": {"http": 8080}}}
TEXT = "workloadgroups.networking.istio.io have no effect in this lab"


def test_a_kind_without_effect_is_stored_and_each_object_says_so() -> None:
    snapshot = bookinfo().istio(config("WorkloadGroup", "some", SPEC)).snapshot()
    assert snapshot.of(WorkloadGroup)["default", "some"].spec.template.service_account == "vm"
    (finding,) = (each for each in analyse(snapshot) if each.origin.kind == "WorkloadGroup")
    assert (finding.severity, finding.name, finding.path) == ("warning", "SchemaWarning", "spec")
    assert TEXT in finding.message


def test_admission_lets_it_pass_with_a_warning() -> None:
    obj = {**config("WorkloadGroup", "some", SPEC), "apiVersion": "networking.istio.io/v1", "kind": "WorkloadGroup"}
    answer = review({"request": {"uid": "1", "operation": "CREATE", "object": obj}})
    assert answer.outcome == "passed"
    assert answer.review["response"]["warnings"] == [f"spec: {TEXT}"]


def test_it_is_held_to_istios_rules_all_the_same() -> None:
    unprobed = decode("WorkloadGroup", {**SPEC, "probe": {}})
    assert [(each.severity, each.path) for each in validate(unprobed)] == [
        ("error", "spec.probe"),
        ("warning", "spec"),
    ]
    with pytest.raises(DecodeError, match=r"spec\.template\.weight"):
        decode("WorkloadGroup", {"template": {"weight": -1}})
