"""Which fields a write sets and removes, as trees of `fieldsV1`.

Two states of an object are walked together, and what is equal is not looked into: a write of a status costs what the
status is, and not what the pod is. Trees share their parts and are never changed in place, as stored objects are not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mesh_lab.kube.registry.ownership.fieldsets import FIELD, SELF, UNOWNED_METADATA, Tree, holds
from mesh_lab.kube.registry.ownership.values import child_schema, is_itself, items, merges_as_list, merges_as_map
from mesh_lab.kube.schemas import ANY, Schema

LEAF: Tree = {}
"""A field with nothing inside that could have an owner of its own; at the root of a tree it means that it is empty."""

_NESTED = (dict, list)
_UNOWNED = frozenset({"apiVersion", "kind"})


class Differences(NamedTuple):
    """The fields that are new or have another value, and those that are gone."""

    changed: Tree
    removed: Tree


def fields_of(schema: Schema, obj: dict[str, Any], skipped: frozenset[str] = frozenset()) -> Tree:
    """All fields of an object that can have an owner, without some at its top (`status`)."""
    return _inside(schema, _ownable(obj, skipped))


def between(schema: Schema, old: dict[str, Any], new: dict[str, Any]) -> Differences:
    """What an update that makes `new` of `old` does to fields that can have an owner."""
    return _compare(schema, _ownable(old), _ownable(new))


def without(tree: Tree, gone: Tree) -> Tree:
    """The set without the members of another; the very same tree when it has none of them."""
    kept = _without_children(tree, gone)
    return tree if kept is None else kept


def union(one: Tree, other: Tree) -> Tree:
    """The members of either set; the very same `one` when it has them all."""
    if not one or not other:
        return one or other
    return _merged(one, other)


def _ownable(obj: dict[str, Any], skipped: frozenset[str] = frozenset()) -> dict[str, Any]:
    kept = {key: value for key, value in obj.items() if key not in _UNOWNED and key not in skipped}
    metadata = {key: value for key, value in obj["metadata"].items() if key not in UNOWNED_METADATA}
    if metadata:
        kept["metadata"] = metadata
    else:
        del kept["metadata"]
    return kept


def _inside(schema: Schema, value: Any, itself: bool = False) -> Tree:
    """The fields inside a value that merges, as a tree; `itself` says that the value is a member too."""
    found: Tree = {SELF: LEAF} if itself else {}
    if isinstance(value, dict):
        for key, inner in value.items():
            # Most fields are scalars, of which no schema is needed to know that they are one field.
            if not isinstance(inner, _NESTED):
                found[FIELD + key] = LEAF
            elif (node := _node(child_schema(schema, key), inner, is_itself(schema, key, inner))) is not None:
                found[FIELD + key] = node
    else:
        of_items = schema.values or ANY
        for element, inner in items(schema, value):
            _add(found, element, _node(of_items, inner, True))
    return found


def _node(schema: Schema, value: Any, itself: bool) -> Tree | None:
    """The fields at and inside a value; None when there are none."""
    if isinstance(value, _NESTED) and (merges_as_map(schema, value) or merges_as_list(schema, value)):
        found = _inside(schema, value, itself)
        if itself and len(found) == 1:
            return LEAF
        return found or None
    return LEAF


def _compare(schema: Schema, old: Any, new: Any) -> Differences:
    """Two values that both merge as maps, or both as lists."""
    return _compare_maps(schema, old, new) if isinstance(new, dict) else _compare_lists(schema, old, new)


def _compare_maps(schema: Schema, old: dict[str, Any], new: dict[str, Any]) -> Differences:
    found = Differences({}, {})
    for key, inner in new.items():
        before = old.get(key, _ABSENT)
        if before is inner or before == inner:
            continue
        element = FIELD + key
        if not isinstance(inner, _NESTED) and not isinstance(before, _NESTED):
            found.changed[element] = LEAF
            continue
        child = child_schema(schema, key)
        after = (inner, is_itself(schema, key, inner))
        if before is _ABSENT:
            _add(found.changed, element, _node(child, *after))
        else:
            _note(found, element, child, (before, is_itself(schema, key, before)), after)
    for key, before in old.items():
        if key not in new:
            node = _node(child_schema(schema, key), before, is_itself(schema, key, before))
            _add(found.removed, FIELD + key, node)
    return found


def _compare_lists(schema: Schema, old: list[Any], new: list[Any]) -> Differences:
    found = Differences({}, {})
    before, after, inner = dict(items(schema, old)), dict(items(schema, new)), schema.values or ANY
    for element, value in after.items():
        if element not in before:
            _add(found.changed, element, _node(inner, value, True))
        elif before[element] != value:
            _note(found, element, inner, (before[element], True), (value, True))
    for element, value in before.items():
        if element not in after:
            _add(found.removed, element, _node(inner, value, True))
    return found


_ABSENT = object()
_Value = tuple[Any, bool]
"""A value, and whether it is a field itself, whatever is inside it."""


def _note(found: Differences, element: str, schema: Schema, before: _Value, after: _Value) -> None:
    """Add what is different in a value to what was found."""
    came, went = _altered(schema, before, after)
    _add(found.changed, element, came)
    _add(found.removed, element, went)


def _altered(schema: Schema, before: _Value, after: _Value) -> tuple[Tree | None, Tree | None]:
    """What changed and what went in a value that differs."""
    old, new = before[0], after[0]
    if _one_form(schema, old, new):
        inside = _compare(schema, old, new)
        return (
            _marked(inside.changed, after[1] and not before[1]),
            _marked(inside.removed, before[1] and not after[1]),
        )
    came, went = _node(schema, new, after[1]), _node(schema, old, before[1])
    if came is not None and went is not None:
        went = _difference(went, came)
    return came, went


def _one_form(schema: Schema, old: Any, new: Any) -> bool:
    maps = merges_as_map(schema, old) and merges_as_map(schema, new)
    return maps or (merges_as_list(schema, old) and merges_as_list(schema, new))


def _add(tree: Tree, element: str, node: Tree | None) -> None:
    if node is not None:
        tree[element] = node


def _marked(inside: Tree, itself: bool) -> Tree | None:
    """The node of what is inside something, which may be a member itself; None when nothing is."""
    if not inside:
        return LEAF if itself else None
    return {SELF: LEAF, **inside} if itself else inside


def _difference(node: Tree, gone: Tree) -> Tree | None:
    """The node without the members of another; None when nothing is left, the same one when nothing went."""
    went = holds(node) and holds(gone)
    children = _without_children(node, gone)
    if children is None and not went:
        return node
    inside = {element: inner for element, inner in (node if children is None else children).items() if element != SELF}
    return _marked(inside, holds(node) and not went)


def _without_children(node: Tree, gone: Tree) -> Tree | None:
    """The node without what another has inside; None when there is nothing to take out."""
    kept: Tree | None = None
    for element, inner in gone.items():
        present = node.get(element)
        if present is None or element == SELF:
            continue
        rest = _difference(present, inner)
        if rest is present:
            continue
        kept = dict(node) if kept is None else kept
        if rest is None:
            del kept[element]
        else:
            kept[element] = rest
    return kept


def _merged(one: Tree, other: Tree) -> Tree:
    """Two nodes as one."""
    if one is other or not other:
        return one if holds(one) else {SELF: LEAF, **one}
    if not one:
        return other if holds(other) else {SELF: LEAF, **other}
    merged: Tree | None = None
    for element, inner in other.items():
        present = one.get(element)
        both = inner if present is None else present if element == SELF else _merged(present, inner)
        if both is not present:
            merged = dict(one) if merged is None else merged
            merged[element] = both
    return one if merged is None else merged
