"""Values as server-side apply sees them: what is one field, what merges, and how items of lists are told apart.

Objects and maps merge by their keys, unless they are marked atomic; lists of the types `map` and `set` merge by item,
all others are one field. What the schema does not know merges like a map.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#merge-strategy
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from mesh_lab.kube.registry.ownership import fieldsets
from mesh_lab.kube.registry.ownership.fieldsets import FieldSet, Path, Tree
from mesh_lab.kube.schemas import ANY, Form, Schema

_MAPS = frozenset({Form.OBJECT, Form.MAP, Form.ANY, Form.SCHEMA})
_KEY_DEFAULTS: Mapping[str, Any] = {"protocol": "TCP"}
"""Keys of lists of built-in kinds that may be left out; their definitions come without defaults."""


class ItemError(ValueError):
    """A list cannot be taken apart: an item lacks its keys, or two have the same."""


@dataclass(frozen=True)
class _Within:
    """The value of a field that is in a set because it exists, whatever is inside it."""


WITHIN = _Within()


def leaves(schema: Schema, value: Any) -> dict[Path, Any]:
    """All fields of a value, by path: what has a value of its own with it, items and keys of maps with `WITHIN`."""
    found: dict[Path, Any] = {}
    _collect(schema, value, (), found)
    return found


def _collect(schema: Schema, value: Any, path: Path, found: dict[Path, Any]) -> None:
    if merges_as_map(schema, value):
        for key, inner in value.items():
            below = (*path, fieldsets.field(key))
            _collect(child_schema(schema, key), inner, below, found)
            if is_itself(schema, key, inner):
                found.setdefault(below, WITHIN)
    elif merges_as_list(schema, value):
        for element, inner in items(schema, value):
            below = (*path, element)
            _collect(schema.values or ANY, inner, below, found)
            found.setdefault(below, WITHIN)
    else:
        found[path] = value


def check_items(schema: Schema, value: Any, path: str = "") -> None:
    """Hold a value that is about to be applied to what its lists promise.

    Raises:
        ItemError: an item lacks a key, or two items are the same one.
    """
    if merges_as_map(schema, value):
        for key, inner in value.items():
            check_items(child_schema(schema, key), inner, f"{path}.{key}")
    elif merges_as_list(schema, value):
        seen = set()
        for index, inner in enumerate(value):
            _check_keys(schema, inner, index, path)
            element = _element(schema, inner)
            known = fieldsets.text((element,))
            if element in seen:
                raise ItemError(f"{path}: duplicate entries for key {known}")
            seen.add(element)
            check_items(schema.values or ANY, inner, f"{path}{known}")


def _check_keys(schema: Schema, inner: Any, index: int, path: str) -> None:
    for key in schema.map_keys:
        if not isinstance(inner, dict) or inner.get(key, _key_default(schema, key)) is None:
            raise ItemError(
                f"{path}: element {index}: associative list with keys has an element that omits key field "
                f'"{key}" (and doesn\'t have default value)'
            )


def merge(schema: Schema, live: Any, config: Any) -> Any:
    """`live` with everything that `config` says. What only `live` has stays."""
    if merges_as_map(schema, config) and merges_as_map(schema, live):
        merged = dict(live)
        for key, inner in config.items():
            merged[key] = merge(child_schema(schema, key), live[key], inner) if key in live else deepcopy(inner)
        return merged
    if merges_as_list(schema, config) and merges_as_list(schema, live):
        return _merge_items(schema, live, config)
    return deepcopy(config)


def _merge_items(schema: Schema, live: list[Any], config: list[Any]) -> list[Any]:
    """Items in the order of `config`; those that only `live` has stand before what they stood before.

    The order is that of a real API server, which is visible wherever order means something, as with init containers.
    """
    wanted, present = dict(items(schema, config)), dict(items(schema, live))
    left, right = list(present), list(wanted)
    shared = [element for element in right if element in present]
    merged: dict[str, Any] = {}
    while left or right:
        first = left[0] if left else None
        if first is not None and first not in wanted:
            merged[first] = present[first]
            left.pop(0)
        elif first is not None and right[:1] != [first] and (first in merged or (shared and first != shared[0])):
            # It comes where `config` has it, or has come already.
            left.pop(0)
        else:
            element = right.pop(0)
            one = wanted[element]
            merged[element] = merge(schema.values or ANY, present[element], one) if element in present else one
            if shared[:1] == [element]:
                shared.pop(0)
    return deepcopy(list(merged.values()))


def remove(schema: Schema, value: Any, gone: Tree) -> Any:
    """The value without the fields of a tree; None when nothing is left of what had something."""
    if merges_as_map(schema, value):
        kept: dict[str, Any] = {}
        for key, inner in value.items():
            node = gone.get(fieldsets.field(key))
            if node is None:
                kept[key] = inner
            elif not fieldsets.holds(node) and (rest := remove(child_schema(schema, key), inner, node)) is not None:
                kept[key] = rest
        return kept or None
    if merges_as_list(schema, value):
        left: list[Any] = []
        for element, inner in items(schema, value):
            node = gone.get(element)
            if node is None:
                left.append(inner)
            elif not fieldsets.holds(node) and (rest := remove(schema.values or ANY, inner, node)) is not None:
                left.append(rest)
        return left or None
    return value


def with_parents(schema: Schema, paths: FieldSet) -> FieldSet:
    """The set with the declared fields that are around its members: an owner of `a.b` also owns `a`."""
    found = set(paths)
    for path in paths:
        here = schema
        for depth, element in enumerate(path[:-1], 1):
            if element.startswith("f:"):
                name = element[2:]
                if name in here.properties:
                    found.add(path[:depth])
                here = child_schema(here, name)
            else:
                here = here.values or ANY
    return frozenset(found)


def is_itself(schema: Schema, key: str, inner: Any) -> bool:
    """Whether what is under a key is a field whatever is inside it.

    A declared one is there when something is in it, a key of a map is there by itself.
    """
    return inner == {} or (key not in schema.known and key not in schema.properties)


def merges_as_map(schema: Schema, value: Any) -> bool:
    """Whether a value merges by its keys."""
    return isinstance(value, dict) and schema.form in _MAPS and not schema.atomic


def merges_as_list(schema: Schema, value: Any) -> bool:
    """Whether a value merges item by item."""
    return isinstance(value, list) and schema.form is Form.LIST and schema.list_type in ("map", "set")


def child_schema(schema: Schema, key: str) -> Schema:
    """The schema of what is under a key."""
    if (known := schema.known.get(key)) is not None:
        return known
    if key in schema.properties:
        found = schema.known[key] = schema.properties[key]
        return found
    return schema.values if schema.form is Form.MAP and schema.values is not None else ANY


def items(schema: Schema, value: list[Any]) -> Iterator[tuple[str, Any]]:
    """The items with their elements. An item that is there twice counts once, as the last."""
    yield from {_element(schema, inner): inner for inner in value}.items()


def _element(schema: Schema, inner: Any) -> str:
    """What an item is known by: of its keys, those that it has."""
    if schema.list_type == "set" or not isinstance(inner, dict):
        return fieldsets.member(inner)
    if len(schema.map_keys) == 1 and (value := inner.get(schema.map_keys[0])) is not None:
        return fieldsets.item({schema.map_keys[0]: value})
    found = {key: inner.get(key, _key_default(schema, key)) for key in schema.map_keys}
    return fieldsets.item({key: value for key, value in found.items() if value is not None})


def _key_default(schema: Schema, key: str) -> Any:
    declared = schema.values.properties.get(key) if schema.values is not None else None
    return _KEY_DEFAULTS.get(key) if declared is None or declared.default is None else declared.default
