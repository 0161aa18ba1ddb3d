"""What the checks accept, the definitions accept: the API server neither refuses nor cuts what istiod would take."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from mesh_lab.controlplane.crds import definition
from mesh_lab.controlplane.istiokinds import KINDS, decode
from mesh_lab.kube.registry.custom.values import prune, validate
from mesh_lab.kube.schemas import Schema
from mesh_lab.kube.schemas.structural import compile_custom
from tests.unit.controlplane.edges import cases
from tests.unit.controlplane.judging import accepted
from tests.unit.controlplane.strategies import valid

SCHEMAS: dict[str, Schema] = {
    name: compile_custom(definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    for name, kind in KINDS.items()
}


def complaints(kind: str, document: dict[str, Any]) -> list[str]:
    resource = {"spec": document}
    unknown: list[str] = []
    kept = prune(SCHEMAS[kind], resource, "", unknown)
    return [*unknown, *(f"{cause.field}: {cause.message}" for cause in validate(SCHEMAS[kind], kept))]


@pytest.mark.parametrize("kind", KINDS)
def test_each_accepted_edge_is_one_of_the_definitions_too(kind: str) -> None:
    passed = [case for case in cases(kind) if accepted(case)]
    assert passed
    assert not [(case.path, found) for case in passed if (found := complaints(kind, case.document))]


@settings(
    deadline=None,
    max_examples=200,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=[Phase.generate, Phase.shrink],
)
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), valid(kind))))
def test_what_passes_decodes_and_the_definition_takes_it(resource: tuple[str, dict[str, Any]]) -> None:
    kind, document = resource
    decode(kind, document)
    assert complaints(kind, document) == []


def test_free_json_is_kept_as_it_is() -> None:
    value = {"name": "envoy.filters.http.lua", "typed_config": {"@type": "a", "inline_code": "x\ny", "n": [1, None]}}
    document = {"configPatches": [{"applyTo": "HTTP_FILTER", "patch": {"operation": "ADD", "value": value}}]}
    assert complaints("EnvoyFilter", document) == []
    assert prune(SCHEMAS["EnvoyFilter"], {"spec": document}, "", []) == {"spec": document}
    spec: Any = decode("EnvoyFilter", document)
    assert spec.config_patches[0].patch.value == value


def test_limits_of_lists_and_maps_are_the_definitions_too() -> None:
    many = {f"l{number}": "a" for number in range(257)}
    assert complaints("WorkloadEntry", {"address": "10.0.0.1", "labels": many}) == [
        'spec.labels: Invalid value: "object": spec.labels in body should have at most 256 properties'
    ]
    assert complaints("ServiceEntry", {"hosts": []}) == [
        'spec.hosts: Invalid value: "array": spec.hosts in body should have at least 1 items'
    ]


def test_mirror_percent_has_two_spellings() -> None:
    rule = {"route": [{"destination": {"host": "a"}}], "mirror": {"host": "b"}, "mirror_percent": 7}
    document = {"hosts": ["a"], "http": [rule]}
    assert complaints("VirtualService", document) == []
    spec: Any = decode("VirtualService", document)
    assert spec.http[0].mirror_percent == 7


def test_what_no_type_has_the_definition_refuses() -> None:
    assert complaints("Telemetry", {"traces": []})
    assert complaints("TrafficExtension", {"lua": {"inlineCode": ""}})
    assert complaints("AuthorizationPolicy", {"rules": [{}] * 513})


def test_an_object_of_any_form_keeps_its_fields() -> None:
    spec = {"url": "a", "pluginConfig": {"a": {"b": [1, {"c": None}]}}}
    assert complaints("WasmPlugin", spec) == []
    assert prune(SCHEMAS["WasmPlugin"], {"spec": spec}, "", []) == {"spec": spec}
