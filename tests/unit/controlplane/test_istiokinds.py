"""The table of Istio's kinds, and what it makes of one that the lab does not act on."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.admission.validating import review
from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.extensions import WasmPlugin
from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import bookinfo, config

SPEC: dict[str, Any] = {"url": "oci://a/b", "phase": "STATS", "failStrategy": "FAIL_OPEN"}
TEXT = "wasmplugins.extensions.istio.io have no effect in this lab"


def test_a_kind_without_effect_is_stored_and_each_object_says_so() -> None:
    snapshot = bookinfo().istio(config("WasmPlugin", "some", SPEC)).snapshot()
    assert snapshot.of(WasmPlugin)["default", "some"].spec.phase == "STATS"
    found = [each for each in analyse(snapshot) if each.origin.kind == "WasmPlugin"]
    assert {(each.severity, each.name) for each in found} == {("warning", "SchemaWarning")}
    assert any(TEXT in each.message and each.path == "spec" for each in found)


def test_admission_lets_it_pass_with_a_warning() -> None:
    obj = {**config("WasmPlugin", "some", SPEC), "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin"}
    answer = review({"request": {"uid": "1", "operation": "CREATE", "object": obj}})
    assert answer.outcome == "passed"
    assert f"spec: {TEXT}" in answer.review["response"]["warnings"]


def test_it_is_held_to_istios_rules_all_the_same() -> None:
    found = [(each.severity, each.path) for each in validate(decode("WasmPlugin", {**SPEC, "url": "ftp://a/b"}))]
    assert ("error", "spec.url") in found
    assert found[-1] == ("warning", "spec")
    with pytest.raises(DecodeError, match=r"spec\.phase"):
        decode("WasmPlugin", {**SPEC, "phase": "NEVER"})
