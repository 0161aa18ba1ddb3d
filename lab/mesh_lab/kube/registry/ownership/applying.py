"""What a write does to the owners of an object's fields, and an apply to the object.

A manager that applies owns exactly what it applies: what it no longer names is removed, unless another manager owns it,
too. A change of what others own is a conflict; with force it takes the field from them. A manager that updates takes
what it changes from all others.

https://kubernetes.io/docs/reference/using-api/server-side-apply/
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.registry.ownership import fieldsets, values
from mesh_lab.kube.registry.ownership.fieldsets import FieldSet, Path
from mesh_lab.kube.registry.ownership.managers import UPDATE, Managed, Manager, Owned, capped
from mesh_lab.kube.schemas import Schema

BEFORE_FIRST_APPLY = "before-first-apply"
"""The manager of all fields that were there when an object was first applied to."""

_UNOWNED: FieldSet = frozenset(
    {
        *(("f:apiVersion",), ("f:kind",), ("f:metadata",)),
        *(("f:metadata", fieldsets.field(name)) for name in fieldsets.UNOWNED_METADATA),
    }
)
"""What only the server decides."""


@dataclass(frozen=True)
class Conflict:
    """A field that an apply would change and that another manager owns."""

    manager: Manager
    owned: Owned
    path: Path


class ConflictError(Exception):
    """An apply would change what others own."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        super().__init__(f"{len(conflicts)} conflicts")
        self.conflicts = conflicts


@dataclass(frozen=True)
class _Changes:
    changed: FieldSet
    removed: FieldSet


def fields_of(schema: Schema, obj: dict[str, Any]) -> FieldSet:
    """All fields of an object that can have an owner."""
    return frozenset(values.leaves(schema, obj)) - _UNOWNED


def first_owner(schema: Schema, obj: dict[str, Any], now: str) -> Managed:
    """The owners of an object that has had none: all of it is one updater's."""
    version = obj["apiVersion"]
    return {Manager(UPDATE, BEFORE_FIRST_APPLY, version): Owned(fields_of(schema, obj), version, now)}


def update(
    managed: Managed, schema: Schema, old: dict[str, Any], new: dict[str, Any], manager: Manager, now: str
) -> Managed:
    """The owners after an update that made `new` of `old`."""
    changes = _compare(schema, old, new)
    if not changes.changed and not changes.removed:
        return managed
    rest = _without(managed, changes.changed | changes.removed)
    if changes.changed:
        before = rest.get(manager)
        fields = before.fields | changes.changed if before else changes.changed
        rest = {**rest, manager: Owned(fields, new["apiVersion"], now)}
    return capped(rest)


def apply(
    managed: Managed,
    schema: Schema,
    live: dict[str, Any],
    config: dict[str, Any],
    manager: Manager,
    now: str,
    *,
    force: bool,
) -> tuple[dict[str, Any], Managed]:
    """The object after `config` was applied to `live`, and its owners.

    Raises:
        ConflictError: others own what would change, and `force` is not set.
        ItemError: a list of `config` cannot be merged.
    """
    values.check_items(schema, config)
    before = managed.get(manager)
    named = frozenset(values.leaves(schema, config))
    owned = Owned(named - _UNOWNED, config["apiVersion"], before.time if before else now)
    others = {one: theirs for one, theirs in managed.items() if one != manager}
    result = values.merge(schema, live, config)
    if before is not None:
        result = _pruned(schema, result, before.fields, named.union(*(one.fields for one in others.values())))
    changes = _compare(schema, live, result)
    conflicts = [
        Conflict(one, theirs, path)
        for one, theirs in sorted(others.items())
        for path in sorted(theirs.fields & changes.changed)
    ]
    if conflicts and not force:
        raise ConflictError(conflicts)
    if before is None or before.fields != owned.fields or changes.changed or changes.removed:
        owned = Owned(owned.fields, owned.api_version, now)
    rest = _without(others, changes.changed | changes.removed)
    return result, {**rest, manager: owned} if owned.fields else rest


def _pruned(schema: Schema, obj: dict[str, Any], last: FieldSet, owned: FieldSet) -> dict[str, Any]:
    """The object without what was applied last time and has no owner any more."""
    gone = values.with_parents(schema, last) - values.with_parents(schema, owned)
    kept: dict[str, Any] = values.remove(schema, obj, fieldsets.tree(gone)) or {}
    return kept


def _compare(schema: Schema, old: dict[str, Any], new: dict[str, Any]) -> _Changes:
    before, after = values.leaves(schema, old), values.leaves(schema, new)
    changed = frozenset(path for path, value in after.items() if path not in before or before[path] != value)
    return _Changes(changed - _UNOWNED, frozenset(before.keys() - after.keys()) - _UNOWNED)


def _without(managed: Managed, fields: FieldSet) -> dict[Manager, Owned]:
    """The owners without some fields; a manager that is left with none is removed."""
    if not fields:
        return dict(managed)
    kept = {}
    for manager, owned in managed.items():
        rest = owned.fields - fields
        if rest:
            kept[manager] = owned if rest == owned.fields else Owned(rest, owned.api_version, owned.time)
    return kept
