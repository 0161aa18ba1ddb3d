"""Owners through writes that do not apply."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh_lab.kube.registry.ownership import APPLY, UPDATE, Manager, apply, decode, encode, update
from mesh_lab.kube.registry.ownership.applying import fields_of
from mesh_lab.kube.registry.ownership.managers import Managed, Owned
from mesh_lab.kube.registry.ownership.tracking import created, tracked
from tests.unit.kube.registry.ownership.objects import SCHEMA, thing, things

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
def test_invalid_managed_fields_change_nothing(given: list[dict[str, Any]]) -> None:
    old = applied()
    assert tracked(SCHEMA, old, old, given, EDITOR, "2") == old["metadata"]["managedFields"]


def test_no_subresource_edits_the_owners() -> None:
    old = applied()
    assert tracked(SCHEMA, old, old, [{}], BY_STATUS, "2") == old["metadata"]["managedFields"]


WRITERS = st.sampled_from([EDITOR, BY_STATUS, Manager(UPDATE, "other", "example.com/v1")])


@given(things, st.lists(st.tuples(WRITERS, things), max_size=5))
def test_entries_say_what_sets_of_paths_say(
    first: dict[str, Any], writes: list[tuple[Manager, dict[str, Any]]]
) -> None:
    entries, old = created(SCHEMA, first, EDITOR, "1", has_status=False), first
    fields = fields_of(SCHEMA, first)
    wanted: Managed = {EDITOR: Owned(fields, "example.com/v1", "1")} if fields else {}
    for number, (writer, new) in enumerate(writes, 2):
        if not wanted:
            break  # an object that has lost all owners gets none by an update
        stored = {**old, "metadata": {**old["metadata"], "managedFields": entries}}
        entries = tracked(SCHEMA, stored, new, None, writer, str(number))
        wanted = update(wanted, SCHEMA, old, new, writer, str(number))
        assert decode(entries) == wanted
        old = new


def test_of_many_updaters_the_oldest_become_one() -> None:
    obj = thing({"map": {"a": "0"}})
    entries = created(SCHEMA, obj, EDITOR, "00", has_status=False)
    for number in range(1, 15):
        new = thing({"map": {**obj["spec"]["map"], f"k{number:02}": "1"}})
        stored = {**obj, "metadata": {**obj["metadata"], "managedFields": entries}}
        writer = Manager(UPDATE, f"writer-{number:02}", "example.com/v1")
        entries, obj = tracked(SCHEMA, stored, new, None, writer, f"{number:02}"), new
    assert len(entries) == 10
    assert {entry["manager"] for entry in entries} >= {"ancient-changes", "writer-14"}
    owned = frozenset().union(*(one.fields for one in decode(entries).values()))
    assert owned == fields_of(SCHEMA, obj)
