"""Kubernetes' strategic merge patch: a merge patch that knows, by the schema, which lists are merged and by which key.

https://github.com/kubernetes/community/blob/master/contributors/devel/sig-api-machinery/strategic-merge-patch.md
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import orjson

from mesh_lab.kube.schemas import Schema

_PATCH = "$patch"
_RETAIN = "$retainKeys"
_ORDER = "$setElementOrder/"
_DELETE = "$deleteFromPrimitiveList/"


_GONE = object()


class StrategicPatchError(Exception):
    """The patch is malformed: an unknown directive, or a list item without its key."""


def merge(original: dict[str, Any], patch: dict[str, Any], schema: Schema | None) -> dict[str, Any]:
    """What `patch` makes of `original`, which is left as it is.

    Raises:
        StrategicPatchError: the patch is malformed.
    """
    directive = patch.get(_PATCH)
    if directive == "replace":
        return {key: deepcopy(value) for key, value in patch.items() if key != _PATCH}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise StrategicPatchError(f"unrecognized {_PATCH} directive: {directive!r}")
    result = dict(original)
    if (kept := patch.get(_RETAIN)) is not None:
        retained = {_hashable(key) for key in kept}
        result = {key: value for key, value in original.items() if key in retained}
    for key, removed in patch.items():
        if key.startswith(_DELETE):
            field = key.removeprefix(_DELETE)
            gone = {_hashable(item) for item in removed}
            result[field] = [item for item in result.get(field) or () if _hashable(item) not in gone]
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _value(result.get(key), value, _field(schema, key), patch.get(_ORDER + key))
    # An order may come without a change to the list itself.
    for key, order in patch.items():
        field = key.removeprefix(_ORDER)
        if key.startswith(_ORDER) and field not in patch and isinstance(result.get(field), list):
            result[field] = _ordered(result[field], result[field], [], order, _field(schema, field))
    return result


def _field(schema: Schema | None, key: str) -> Schema | None:
    if schema is None:
        return None
    found = schema.properties.get(key, schema.values)
    return found if isinstance(found, Schema) else None


def _value(original: Any, patch: Any, schema: Schema | None, order: list[Any] | None) -> Any:
    if isinstance(patch, dict):
        if schema is not None and "replace" in schema.strategies and _PATCH not in patch:
            return deepcopy(patch)
        return merge(original if isinstance(original, dict) else {}, patch, schema)
    if not isinstance(patch, list):
        return patch
    present = original if isinstance(original, list) else []
    if schema is None or "merge" not in schema.strategies:
        return [_value(None, item, None, None) for item in patch if not _is_directive(item)]
    if any(_is_directive(item) and item[_PATCH] == "replace" for item in patch):
        return [deepcopy(item) for item in patch if not _is_directive(item)]
    if schema.merge_key:
        return _merge_objects(present, patch, schema, order)
    known = {_hashable(item) for item in present}
    merged = [*present, *(item for item in patch if _hashable(item) not in known)]
    return _ordered(merged, present, patch, order, schema)


def _is_directive(item: Any) -> bool:
    return isinstance(item, dict) and _PATCH in item and item[_PATCH] in ("replace", "delete")


def _merge_objects(present: list[Any], patch: list[Any], schema: Schema, order: list[Any] | None) -> list[Any]:
    key = schema.merge_key
    merged: list[Any] = list(present)
    places: dict[Any, int] = {}
    for place, one in enumerate(merged):
        if isinstance(one, dict) and key in one:
            places.setdefault(_hashable(one[key]), place)
    changed: dict[int, Any] = {}
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise StrategicPatchError(f"{item!r} does not contain declared merge key: {key}")
        known = _hashable(item[key])
        if item.get(_PATCH) == "delete":
            if known in places:
                place = places.pop(known)
                merged[place] = _GONE
                changed.pop(place, None)
            continue
        place = places.setdefault(known, len(merged))
        if place == len(merged):
            merged.append({})
        changed[place] = merged[place] = merge(merged[place], item, schema.values)
    kept = [one for one in merged if one is not _GONE]
    return _ordered(kept, present, list(changed.values()), order, schema)


def _ordered(
    merged: list[Any], present: list[Any], changed: list[Any], order: list[Any] | None, schema: Schema | None
) -> list[Any]:
    """The list in the order that the patch gives; what only the server knows stays beside its former neighbours."""
    if order is None:
        return merged
    identity = _identity(schema)
    wanted = {known: place for place, known in reversed(list(enumerate(map(identity, order))))}
    before = {known: place for place, known in reversed(list(enumerate(map(identity, present))))}
    new = {_hashable(item) for item in changed}
    listed = [item for item in merged if identity(item) in wanted or _hashable(item) in new]
    listed.sort(key=lambda item: wanted.get(identity(item), len(wanted)))
    ours = {id(item) for item in listed}
    first, second = deque(listed), deque(item for item in merged if id(item) not in ours)
    result = []
    while first and second:
        one, other = before.get(identity(first[0])), before.get(identity(second[0]))
        after = one is not None and other is not None and other < one
        result.append(second.popleft() if after else first.popleft())
    return [*result, *first, *second]


def _identity(schema: Schema | None) -> Callable[[Any], Any]:
    key = schema.merge_key if schema is not None else ""
    return lambda item: _hashable(item.get(key) if key and isinstance(item, dict) else item)


def _hashable(value: Any) -> Any:
    """A hashable form of a value: lists of thousands of them are gone through once, and not once for each."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS) if isinstance(value, dict | list) else value
