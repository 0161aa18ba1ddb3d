"""The slice of Kubernetes' published schemas holds what the lab serves."""

from __future__ import annotations

import re
from importlib import resources

import orjson
import pytest

from mesh_lab.kube.registry.behaviour import Behaviour
from mesh_lab.kube.registry.kinds import BUILTIN, RESOURCES
from mesh_lab.kube.registry.rules.fields import SHARED
from mesh_lab.kube.resources import Resource
from mesh_lab.kube.schemas import Form, Schema, builtin_schema, definition_name, definitions


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
    text = b"".join(definitions().values()).decode()
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) <= definitions().keys()


def test_a_definition_is_json_and_has_the_name_of_its_kind() -> None:
    pod = orjson.loads(definitions()[definition_name("v1", "Pod")])
    assert {"group": "", "kind": "Pod", "version": "v1"} in pod["x-kubernetes-group-version-kind"]
    with pytest.raises(KeyError):
        definition_name("v1", "Nothing")


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


@pytest.mark.parametrize("kind", [kind for kind in BUILTIN if kind.fields], ids=lambda kind: kind.resource.key)
def test_the_rules_of_a_kind_name_fields_that_it_has(kind: Behaviour) -> None:
    """A typing error, or a rule in another kind's table, would silently switch the rule off."""
    assert kind.fields.keys() <= _fields_of(builtin_schema(kind.resource.api_version, kind.resource.kind))


def test_each_kind_has_the_rules_of_the_types_that_it_shares_with_others() -> None:
    rules = {key: rule for kind in BUILTIN for key, rule in kind.fields.items()}
    for kind in (kind for kind in BUILTIN if kind.resource.stored):
        present = _fields_of(builtin_schema(kind.resource.api_version, kind.resource.kind))
        assert present & rules.keys() <= kind.fields.keys(), kind.resource.key


def test_the_rules_for_all_kinds_name_fields_of_several() -> None:
    for key in SHARED:
        users = [r for r in RESOURCES if key in _fields_of(builtin_schema(r.api_version, r.kind))]
        assert len(users) > 1, key


def _fields_of(root: Schema) -> set[tuple[str, str]]:
    """The (Go type, field) of all that a schema reaches."""
    found: set[tuple[str, str]] = set()
    waiting, seen = [root], {id(root)}
    while waiting:
        schema = waiting.pop()
        found |= {(schema.go_type.rpartition(".")[2], name) for name in schema.properties}
        parts = [*schema.properties.values(), *([schema.values] if schema.values is not None else [])]
        waiting += [part for part in parts if id(part) not in seen]
        seen |= {id(part) for part in parts}
    return found
