"""Owners through writes that do not apply."""

from __future__ import annotations

from typing import Any

import pytest

from lab.kube.registry.ownership import APPLY, UPDATE, Manager, apply, encode
from lab.kube.registry.ownership.tracking import tracked
from tests.unit.kube.registry.ownership.objects import SCHEMA, thing

EDITOR = Manager(UPDATE, "editor", "example.com/v1")
BY_STATUS = Manager(UPDATE, "editor", "example.com/v1", "status")


def applied() -> dict[str, Any]:
    """An object that somebody has applied."""
    ann = Manager(APPLY, "ann")
    obj, managed = apply({}, SCHEMA, thing({}), thing({"text": "1", "map": {"a": "1"}}), ann, "1", force=False)
    obj["metadata"]["managedFields"] = encode(managed)
    return obj


def test_an_object_without_owners_gets_none() -> None:
    assert tracked(SCHEMA, thing({"text": "1"}), thing({"text": "2"}), None, EDITOR, "2") == []


@pytest.mark.parametrize("given", [None, []])
def test_owners_are_kept_when_the_writer_sends_none(given: list[dict[str, Any]] | None) -> None:
    old = applied()
    assert tracked(SCHEMA, old, old, given, EDITOR, "2") == old["metadata"]["managedFields"]
    entries = tracked(SCHEMA, old, thing({"text": "2", "map": {"a": "1"}}), given, EDITOR, "2")
    assert [(e["manager"], e["operation"], e["fieldsV1"]) for e in entries] == [
        ("ann", "Apply", {"f:spec": {"f:map": {"f:a": {}}}}),
        ("editor", "Update", {"f:spec": {"f:text": {}}}),
    ]


def test_a_writer_may_edit_the_owners_and_make_the_object_forget_them() -> None:
    old = applied()
    taken = [{**old["metadata"]["managedFields"][0], "manager": "bob"}]
    assert [e["manager"] for e in tracked(SCHEMA, old, old, taken, EDITOR, "2")] == ["bob"]
    assert tracked(SCHEMA, old, old, [{}], EDITOR, "2") == []


@pytest.mark.parametrize("given", [[{"manager": "x"}], [{"operation": "Apply", "fieldsType": "X"}]])
def test_owners_that_make_no_sense_change_nothing(given: list[dict[str, Any]]) -> None:
    old = applied()
    assert tracked(SCHEMA, old, old, given, EDITOR, "2") == old["metadata"]["managedFields"]


def test_no_subresource_edits_the_owners() -> None:
    old = applied()
    assert tracked(SCHEMA, old, old, [{}], BY_STATUS, "2") == old["metadata"]["managedFields"]
