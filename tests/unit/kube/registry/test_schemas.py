"""The slice of Kubernetes' published schemas holds what the lab serves."""

from __future__ import annotations

import re
from importlib import resources

import orjson
import pytest

from mesh_lab.kube.registry.kinds import RESOURCES
from mesh_lab.kube.registry.rules import tables
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Form, builtin_schema, definition_name, definitions


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.key)
def test_every_served_kind_has_a_schema(resource: Resource) -> None:
    schema = builtin_schema(resource.api_version, resource.kind)
    assert schema.form is Form.OBJECT
    assert "metadata" in schema.properties
    if resource.stored:
        assert definition_name(resource.api_version, f"{resource.kind}List")


@pytest.mark.parametrize(
    ("api_version", "kind"),
    [
        ("v1", "DeleteOptions"),
        ("v1", "Status"),
        ("autoscaling/v1", "Scale"),
        ("policy/v1", "Eviction"),
        ("authentication.k8s.io/v1", "TokenRequest"),
    ],
)
def test_kinds_of_bodies_and_subresources_are_there(api_version: str, kind: str) -> None:
    assert builtin_schema(api_version, kind).properties


def test_an_unknown_kind_is_an_error_of_the_caller() -> None:
    with pytest.raises(KeyError):
        builtin_schema("v1", "Nonsense")


def test_every_reference_leads_somewhere() -> None:
    text = orjson.dumps(dict(definitions())).decode()
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= definitions().keys()


def test_lists_know_how_they_are_patched() -> None:
    spec = builtin_schema("v1", "Pod").properties["spec"]
    containers, tolerations = spec.properties["containers"], spec.properties["tolerations"]
    assert (containers.merge_key, containers.strategies) == ("name", {"merge"})
    assert tolerations.strategies == frozenset()
    assert spec.properties["volumes"].strategies == {"merge", "retainKeys"}
    ports = builtin_schema("v1", "Service").properties["spec"].properties["ports"]
    assert (ports.merge_key, ports.map_keys) == ("port", ("port", "protocol"))


def test_the_slice_is_small() -> None:
    size = len(resources.files("mesh_lab.kube.schemas").joinpath("kubernetes.json.gz").read_bytes())
    assert size < 150_000


def test_the_tables_of_rules_name_fields_that_exist() -> None:
    """A typing error in a table would silently switch a rule off."""
    fields = {
        (name.rpartition(".")[2], field)
        for name, definition in definitions().items()
        for field in definition.get("properties", ())
    }
    named = {*tables.ENUMS, *tables.PORTS, *tables.MINIMA, *tables.MODES, *tables.MAY_BE_EMPTY, *tables.NOT_EMPTY}
    assert named <= fields
