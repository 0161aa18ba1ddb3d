"""JSON patch (RFC 6902) over JSON pointers (RFC 6901)."""

from __future__ import annotations

import re
from copy import deepcopy
from typing import Any

import orjson

MOST_OPERATIONS = 10_000
MOST_COPIED_BYTES = 3 * 1024 * 1024
"""How much text all copies of a patch may add: as much as a request may bring, as in a real API server."""
_INDEX = re.compile(r"0|[1-9][0-9]*")


class MalformedPatchError(Exception):
    """The patch itself is not valid, whatever it is applied to."""


class LargePatchError(MalformedPatchError):
    """The patch has more operations than a real API server takes."""


class PatchConflictError(Exception):
    """The patch does not fit the document: a path is missing, or a test fails."""


def apply(document: Any, operations: Any) -> Any:
    """What the operations make of `document`, which is left as it is.

    Raises:
        MalformedPatchError: they are no list of operations.
        PatchConflictError: one cannot be carried out; then none is.
    """
    if not isinstance(operations, list):
        raise MalformedPatchError("a JSON patch is a list of operations")
    if len(operations) > MOST_OPERATIONS:
        raise LargePatchError(
            f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}"
        )
    root = [deepcopy(document)]
    copied = 0
    for index, operation in enumerate(operations):
        try:
            copied += _apply_one(root, operation, MOST_COPIED_BYTES - copied)
        except (MalformedPatchError, PatchConflictError) as error:
            raise type(error)(f"operation {index}: {error}") from error
    return root[0]


def _apply_one(root: list[Any], operation: Any, room: int) -> int:
    """Carry out one operation. Returns how many bytes it has copied, which may be `room` at most."""
    if not isinstance(operation, dict):
        raise MalformedPatchError("an operation is an object")
    kind, path = operation.get("op"), _pointer(operation, "path")
    if kind in ("add", "replace", "test") and "value" not in operation:
        raise MalformedPatchError(f'"{kind}" needs a value')
    if kind == "add":
        _add(root, path, deepcopy(operation["value"]))
    elif kind == "remove":
        _remove(root, path)
    elif kind == "replace":
        _get(root, path)
        _set(root, path, deepcopy(operation["value"]))
    elif kind == "move":
        source = _pointer(operation, "from")
        if path[: len(source)] == source and path != source:
            raise PatchConflictError("a value cannot be moved into itself")
        _add(root, path, _remove(root, source))
    elif kind == "copy":
        value = _get(root, _pointer(operation, "from"))
        size = len(orjson.dumps(value))
        if size > room:
            raise PatchConflictError(
                f"unable to complete the copy, the accumulated size increase of copy exceeds {MOST_COPIED_BYTES} bytes"
            )
        _add(root, path, deepcopy(value))
        return size
    elif kind == "test":
        if not _same(_get(root, path), operation["value"]):
            raise PatchConflictError(f"testing value {operation['path']} failed")
    else:
        raise MalformedPatchError(f"unknown operation {kind!r}")
    return 0


def _pointer(operation: dict[str, Any], field: str) -> list[str]:
    text = operation.get(field)
    if not isinstance(text, str) or (text and not text.startswith("/")):
        raise MalformedPatchError(f'"{field}" must be a JSON pointer, got {text!r}')
    # The document hangs in a list of one, so that the whole of it has a place to be replaced in.
    return ["0", *(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])]


def _step(value: Any, part: str) -> Any:
    if isinstance(value, dict) and part in value:
        return value[part]
    if isinstance(value, list) and _INDEX.fullmatch(part) and int(part) < len(value):
        return value[int(part)]
    raise PatchConflictError(f"the path has no {part!r}")


def _get(root: list[Any], path: list[str]) -> Any:
    value: Any = root
    for part in path:
        value = _step(value, part)
    return value


def _add(root: list[Any], path: list[str], value: Any) -> None:
    parent, last = _get(root, path[:-1]), path[-1]
    if parent is root or isinstance(parent, dict):
        _set(root, path, value)
    elif isinstance(parent, list):
        if last == "-":
            parent.append(value)
        elif _INDEX.fullmatch(last) and int(last) <= len(parent):
            parent.insert(int(last), value)
        else:
            raise PatchConflictError(f"the list has no place {last!r}")
    else:
        raise PatchConflictError(f"nothing can be added to {type(parent).__name__}")


def _set(root: list[Any], path: list[str], value: Any) -> None:
    parent, last = _get(root, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent[int(last)] = value
    else:
        parent[last] = value


def _remove(root: list[Any], path: list[str]) -> Any:
    value = _get(root, path)
    parent, last = _get(root, path[:-1]), path[-1]
    if parent is root:
        raise PatchConflictError("the whole document cannot be removed")
    del parent[int(last) if isinstance(parent, list) else last]
    return value


def _same(one: Any, other: Any) -> bool:
    """Equality of JSON values: Python takes `1 == True`, JSON does not."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)
