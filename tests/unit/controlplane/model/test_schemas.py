"""The types and the CRDs that are made from them agree: what istiod takes, the API server lets through to it, whole."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mesh_lab.kube.registry.custom_values import prune, validate

from mesh_lab.controlplane.crds import definition
from mesh_lab.controlplane.istiokinds import KINDS, decode
from mesh_lab.controlplane.istiokinds import validate as problems
from mesh_lab.kube.schemas.structural import compile_custom
from tests.unit.controlplane.edges import cases
from tests.unit.controlplane.judging import accepted
from tests.unit.controlplane.strategies import valid


@cache
def schema(kind: str) -> Any:
    return compile_custom(definition(KINDS[kind])["spec"]["versions"][0]["schema"]["openAPIV3Schema"])


def refusals(kind: str, spec: dict[str, Any]) -> list[Any]:
    """What the API server has against a resource: values that do not fit, and fields that it does not know."""
    obj = {"spec": copy.deepcopy(spec)}
    unknown: list[str] = []
    kept = prune(schema(kind), obj, "", unknown)
    return [*unknown, *validate(schema(kind), kept)]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(KINDS)).flatmap(lambda kind: st.tuples(st.just(kind), valid(kind))))
def test_what_passes_the_checks_decodes_and_fits_the_schema(case: tuple[str, dict[str, Any]]) -> None:
    kind, document = case
    assert not [each for each in problems(decode(kind, document)) if each.severity == "error"]
    assert refusals(kind, document) == []


@pytest.mark.parametrize("kind", ["RequestAuthentication", "Telemetry", "WasmPlugin", "TrafficExtension"])
def test_so_does_what_is_at_the_edges_of_its_ranges(kind: str) -> None:
    made = [case for case in cases(kind) if accepted(case)]
    assert len(made) > 500
    assert [(case.path, refusals(kind, case.document)) for case in made if refusals(kind, case.document)] == []


def test_what_no_type_has_the_schema_refuses() -> None:
    assert refusals("Telemetry", {"traces": []})
    assert refusals("TrafficExtension", {"lua": {"inlineCode": ""}})
    assert refusals("AuthorizationPolicy", {"rules": [{}] * 513})


def test_an_object_of_any_form_keeps_its_fields() -> None:
    spec = {"url": "a", "pluginConfig": {"a": {"b": [1, {"c": None}]}}}
    obj = {"spec": copy.deepcopy(spec)}
    unknown: list[str] = []
    assert prune(schema("WasmPlugin"), obj, "", unknown) == {"spec": spec}
    assert unknown == []
