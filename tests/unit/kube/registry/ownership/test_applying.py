"""Server-side apply as arithmetic: who owns what, who conflicts with whom, and what goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from mesh_lab.kube.registry.ownership import APPLY, UPDATE, ConflictError, Managed, Manager, apply, first_owner, update
from mesh_lab.kube.registry.ownership.applying import fields_of
from mesh_lab.kube.registry.ownership.fieldsets import FieldSet, Path
from mesh_lab.kube.registry.ownership.managers import ANCIENT, MOST_UPDATERS, decode, encode
from mesh_lab.kube.registry.ownership.values import leaves
from tests.unit.kube.registry.ownership.objects import SCHEMA, thing, things

Object = dict[str, Any]
ANN, BOB = Manager(APPLY, "ann"), Manager(APPLY, "bob")
EDITOR = Manager(UPDATE, "editor", "example.com/v1")
EMPTY = thing({})


def applied(
    live: Object, managed: Managed, config: Object, who: Manager, *, force: bool = False, now: str = "1"
) -> Any:
    return apply(managed, SCHEMA, live, config, who, now, force=force)


def everybodys(managed: Managed) -> FieldSet:
    return frozenset().union(*(owned.fields for owned in managed.values()))


@given(things)
def test_the_first_apply_makes_the_object_and_owns_all_of_it(config: Object) -> None:
    obj, managed = applied(EMPTY, {}, config, ANN)
    assert obj == config
    assert everybodys(managed) == fields_of(SCHEMA, config)


@given(things, things)
def test_an_applier_owns_exactly_the_fields_that_it_applies(live: Object, config: Object) -> None:
    obj, managed = applied(live, first_owner(SCHEMA, live, "0"), config, ANN, force=True)
    fields = fields_of(SCHEMA, config)
    assert (managed[ANN].fields if fields else frozenset()) == fields
    found = leaves(SCHEMA, obj)
    assert {path: found[path] for path in leaves(SCHEMA, config)} == leaves(SCHEMA, config)
    assert everybodys(managed) <= fields_of(SCHEMA, obj)


@given(things, things)
def test_applying_the_same_again_changes_nothing(live: Object, config: Object) -> None:
    obj, managed = applied(live, first_owner(SCHEMA, live, "0"), config, ANN, force=True)
    again, after = applied(obj, managed, config, ANN, now="2")
    assert (again, after) == (obj, managed)


@given(things, things)
def test_fields_that_are_no_longer_applied_are_removed(before: Object, config: Object) -> None:
    obj, managed = applied(*applied(EMPTY, {}, before, ANN), config, ANN)
    assert leaves(SCHEMA, obj) == leaves(SCHEMA, config)
    assert everybodys(managed) == fields_of(SCHEMA, config)


@given(things, things)
def test_fields_that_another_manager_applies_stay(one: Object, other: Object) -> None:
    obj, managed = applied(EMPTY, {}, one, ANN)
    obj, managed = applied(obj, managed, other, BOB, force=True)
    obj, managed = applied(obj, managed, EMPTY, ANN)
    assert leaves(SCHEMA, obj) == leaves(SCHEMA, other)
    assert everybodys(managed) == fields_of(SCHEMA, other)


@given(things, things)
def test_changing_a_field_of_another_manager_is_a_conflict(one: Object, other: Object) -> None:
    obj, managed = applied(EMPTY, {}, one, ANN)
    forced, _ = applied(obj, managed, other, BOB, force=True)
    before, after = leaves(SCHEMA, obj), leaves(SCHEMA, forced)
    owned = managed[ANN].fields if ANN in managed else frozenset()
    changed = {path for path in owned if path in after and after[path] != before[path]}
    if not changed:
        assert applied(obj, managed, other, BOB) == applied(obj, managed, other, BOB, force=True)
        return
    with pytest.raises(ConflictError) as caught:
        applied(obj, managed, other, BOB)
    assert {conflict.path for conflict in caught.value.conflicts} == changed
    assert {conflict.manager for conflict in caught.value.conflicts} == {ANN}


@given(things, things)
def test_force_takes_the_changed_fields(one: Object, other: Object) -> None:
    obj, managed = applied(EMPTY, {}, one, ANN)
    forced, after = applied(obj, managed, other, BOB, force=True)
    before, now = leaves(SCHEMA, obj), leaves(SCHEMA, forced)
    assert all(now[path] == before[path] for path in (after[ANN].fields if ANN in after else ()))


@given(things, things, things)
def test_an_update_owns_the_fields_that_it_changes(config: Object, old: Object, new: Object) -> None:
    live, managed = applied(old, first_owner(SCHEMA, old, "0"), config, ANN, force=True)
    after = update(managed, SCHEMA, live, new, EDITOR, "2")
    found, before = leaves(SCHEMA, new), leaves(SCHEMA, live)
    changed = {path for path in fields_of(SCHEMA, new) if path not in before or before[path] != found[path]}
    assert (after[EDITOR].fields if changed else frozenset()) == changed
    assert not changed & everybodys({who: owned for who, owned in after.items() if who != EDITOR})
    assert everybodys(after) == fields_of(SCHEMA, new) & (everybodys(managed) | changed)


@given(things, things)
def test_an_update_that_changes_nothing_leaves_the_owners(live: Object, config: Object) -> None:
    obj, managed = applied(live, first_owner(SCHEMA, live, "0"), config, ANN, force=True)
    assert update(managed, SCHEMA, obj, obj, EDITOR, "2") is managed


@given(things, things)
def test_owners_come_back_from_their_form(live: Object, config: Object) -> None:
    _, managed = applied(live, first_owner(SCHEMA, live, "0"), config, ANN, force=True)
    assert decode(encode(managed)) == managed


@given(things, things, things)
def test_what_another_manager_owns_stays_through_applies_that_do_not_conflict(
    first: Object, edited: Object, second: Object
) -> None:
    """An item of a list, or a key of a map, goes with the last that owns it itself: what is inside has then no place.

    So structured-merge-diff's `RemoveItems` has it, and what it adds back of other managers' fields.
    """
    obj, managed = applied(EMPTY, {}, first, ANN)
    managed = update(managed, SCHEMA, obj, edited, EDITOR, "2")
    try:
        after, owners = applied(edited, managed, second, ANN)
    except ConflictError:
        return
    held = managed[EDITOR].fields if EDITOR in managed else frozenset()
    present = held | fields_of(SCHEMA, second)
    before, now = leaves(SCHEMA, edited), leaves(SCHEMA, after)
    # Without a schema what was a map may be applied as a text, which has nothing inside.
    known = {path for path in held if path[:2] != ("f:spec", "f:free")}
    lasting = {path for path in known if all(place in present for place in around(path) if place in before)}
    assert {path: now.get(path) for path in lasting} == {path: before[path] for path in lasting}
    assert lasting <= (owners[EDITOR].fields if EDITOR in owners else frozenset())


def around(path: Path) -> list[Path]:
    """What a field is in, from the outside in."""
    return [path[:depth] for depth in range(1, len(path))]


def test_too_many_updaters_become_one() -> None:
    obj, managed = applied(EMPTY, {}, thing({"text": "1"}), ANN)
    for number in range(MOST_UPDATERS + 5):
        new = thing({**obj["spec"], "map": {**obj["spec"].get("map", {}), f"k{number}": "1"}})
        who = Manager(UPDATE, f"editor-{number}", "example.com/v1")
        managed = update(managed, SCHEMA, obj, new, who, f"2026-01-01T00:00:{number:02}Z")
        obj = new
    updaters = {who.name for who in managed if who.operation == UPDATE}
    assert len(updaters) == MOST_UPDATERS
    assert ANCIENT in updaters
    assert f"editor-{MOST_UPDATERS + 4}" in updaters
    assert everybodys(managed) == fields_of(SCHEMA, obj)


def test_a_declared_field_goes_with_what_nobody_owns_in_it() -> None:
    """As a Deployment's strategy does: what was applied was a part of it, what the server set by default the rest."""
    obj, managed = applied(EMPTY, {}, thing({"nested": {"x": "1"}, "text": "1"}), ANN)
    obj["spec"]["nested"]["y"] = "default"
    obj, managed = applied(obj, managed, thing({"text": "1"}), ANN)
    assert obj["spec"] == {"text": "1"}


def test_metadata_that_the_server_decides_has_no_owner() -> None:
    obj = thing({}, uid="u", generation=1, creationTimestamp="t", labels={"a": "b"})
    assert fields_of(SCHEMA, obj) == {("f:metadata", "f:labels", "f:a")}
