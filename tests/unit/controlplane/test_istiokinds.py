"""The table of Istio's kinds, and what it makes of one that the lab does not act on."""

from __future__ import annotations

from typing import Any

import pytest

from mesh_lab.controlplane.admission.validating import review
from mesh_lab.controlplane.istiokinds import decode, validate
from mesh_lab.controlplane.model import DecodeError
from mesh_lab.controlplane.model.proxyconfig import ProxyConfig
from mesh_lab.controlplane.report.analysis import analyse
from tests.unit.controlplane.cluster import bookinfo, config

SPEC: dict[str, Any] = {
    "selector": {"matchLabels": {"app": "reviews"}},
    "concurrency": 0,
    "environmentVariables": {"ISTIO_META_A": "b"},
    "image": {"imageType": "distroless"},
}
TEXT = "proxyconfigs.networking.istio.io have no effect in this lab"


def test_a_kind_without_effect_is_stored_and_each_object_says_so() -> None:
    snapshot = bookinfo().istio(config("ProxyConfig", "some", SPEC)).snapshot()
    assert snapshot.of(ProxyConfig)["default", "some"].spec.environment_variables == {"ISTIO_META_A": "b"}
    (finding,) = (each for each in analyse(snapshot) if each.origin.kind == "ProxyConfig")
    assert (finding.severity, finding.name, finding.path) == ("warning", "SchemaWarning", "spec")
    assert TEXT in finding.message


def test_admission_lets_it_pass_with_a_warning() -> None:
    obj = {**config("ProxyConfig", "some", SPEC), "apiVersion": "networking.istio.io/v1beta1", "kind": "ProxyConfig"}
    answer = review({"request": {"uid": "1", "operation": "CREATE", "object": obj}})
    assert answer.outcome == "passed"
    assert answer.review["response"]["warnings"] == [f"spec: {TEXT}"]


def test_it_is_held_to_istios_rules_all_the_same() -> None:
    wildcard = decode("ProxyConfig", {"selector": {"matchLabels": {"app": "*"}}})
    assert [(each.severity, each.path) for each in validate(wildcard)] == [
        ("error", "spec.selector.matchLabels"),
        ("warning", "spec"),
    ]
    with pytest.raises(DecodeError, match=r"spec\.concurrency"):
        decode("ProxyConfig", {"concurrency": -1})
    with pytest.raises(DecodeError, match=r"spec\.image"):
        decode("ProxyConfig", {"image": {"type": "debug"}})
