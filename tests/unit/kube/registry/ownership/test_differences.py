"""What a write does to fields, held against sets of paths: the same answers, without looking at what is equal."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from mesh_lab.kube.registry.ownership import differences
from mesh_lab.kube.registry.ownership.applying import _compare, fields_of
from mesh_lab.kube.registry.ownership.fieldsets import paths, tree
from mesh_lab.kube.schemas import builtin_schema
from tests.unit.kube.registry.manifests import deployment
from tests.unit.kube.registry.ownership.objects import SCHEMA, things


@given(things)
def test_the_fields_of_an_object(obj: dict[str, Any]) -> None:
    assert differences.fields_of(SCHEMA, obj) == tree(fields_of(SCHEMA, obj))


@given(things, things)
def test_what_an_update_changes_and_removes(old: dict[str, Any], new: dict[str, Any]) -> None:
    wanted = _compare(SCHEMA, old, new)
    found = differences.between(SCHEMA, old, new)
    assert (found.changed, found.removed) == (tree(wanted.changed), tree(wanted.removed))


@given(things, things)
def test_sets_as_trees_are_sets(one: dict[str, Any], other: dict[str, Any]) -> None:
    first, second = fields_of(SCHEMA, one), fields_of(SCHEMA, other)
    assert differences.union(tree(first), tree(second)) == tree(first | second)
    assert differences.without(tree(first), tree(second)) == tree(first - second)
    assert paths(differences.without(tree(first), tree(second))) == first - second


def test_removing_nothing_from_a_set_returns_the_same_set() -> None:
    whole = {"f:spec": {"f:a": {}, "f:b": {".": {}, "f:c": {}}}}
    assert differences.without(whole, {"f:spec": {"f:b": {"f:x": {}}}, "f:status": {}}) is whole


def test_a_built_in_object_and_its_status() -> None:
    schema = builtin_schema("apps/v1", "Deployment")
    obj = {"apiVersion": "apps/v1", "kind": "Deployment", **deployment(), "status": {"replicas": 1}}
    assert differences.fields_of(schema, obj) == tree(fields_of(schema, obj))
    assert "f:status" not in differences.fields_of(schema, obj, frozenset({"status"}))
