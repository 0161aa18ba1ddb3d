"""Sets of fields. A field is a path of elements, which are written as in `fieldsV1`.

`f:NAME` is a field of an object or a key of a map; `k:{"name":"c"}` the item of a list with these keys; `v:"x"` the
item of a set. In `fieldsV1` elements are nested, and `.` says that a field with others inside is in the set itself.

https://github.com/kubernetes-sigs/structured-merge-diff/blob/master/fieldpath/serialize-pe.go
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import orjson

Path = tuple[str, ...]
FieldSet = frozenset[Path]
Tree = dict[str, "Tree"]

_USUAL_LENGTH = 64
EMPTY: FieldSet = frozenset()
UNOWNED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "creationTimestamp",
        "selfLink",
        "uid",
        "clusterName",
        "generation",
        "managedFields",
        "resourceVersion",
    }
)
"""Fields of `metadata` that no field manager owns: only the server decides them."""

SELF = "."
FIELD = "f:"
_KINDS = ("f:", "k:", "v:", "i:")


class FieldSetError(ValueError):
    """The text is not a set of fields."""


def field(name: str) -> str:
    """The element of a field."""
    return FIELD + name


def item(keys: Mapping[str, Any]) -> str:
    """The element of a list's item that is known by its keys."""
    if len(keys) == 1:
        ((name, value),) = keys.items()
        if isinstance(value, str) and len(value) <= _USUAL_LENGTH:
            return _item(name, value)
    return _items_of(keys)


@lru_cache(maxsize=4096)
def _item(name: str, value: str) -> str:
    """Most lists are known by one key, and most of its values (names of containers, types of conditions) come again."""
    return _items_of({name: value})


def _items_of(keys: Mapping[str, Any]) -> str:
    return "k:" + orjson.dumps(keys, option=orjson.OPT_SORT_KEYS).decode()


def member(value: Any) -> str:
    """The element of a set's item."""
    return "v:" + orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def tree(paths: Iterable[Path]) -> Tree:
    """The paths nested, as `fieldsV1` has them."""
    root: Tree = {}
    ends = []
    for path in paths:
        here = root
        for element in path:
            here = here.setdefault(element, {})
        ends.append(here)
    for node in ends:
        if node:
            node[SELF] = {}
    return _in_order(root)


def _in_order(node: Tree) -> Tree:
    return {element: _in_order(node[element]) for element in sorted(node)} if node else node


def paths(nested: Any) -> FieldSet:
    """The set that `fieldsV1` stands for.

    Raises:
        FieldSetError: it stands for none.
    """
    return frozenset(_paths(nested, ()))


def _paths(nested: Any, at: Path) -> Iterator[Path]:
    if not isinstance(nested, dict):
        raise FieldSetError(f"{text(at)}: expected an object, got {nested!r}")
    if at and (not nested or SELF in nested):
        yield at
    for element, inner in nested.items():
        if element == SELF:
            continue
        if not element.startswith(_KINDS):
            raise FieldSetError(f"{text(at)}: {element!r} is no element of a field's path")
        yield from _paths(inner, (*at, element))


def holds(node: Tree) -> bool:
    """Whether the node of a tree is in the set itself, and not only what is inside it."""
    return not node or SELF in node


def text(path: Path) -> str:
    """The path as it stands in messages: `.spec.containers[name="c"].image`."""
    return "".join(_text(element) for element in path)


def _text(element: str) -> str:
    kind, rest = element[:2], element[2:]
    if kind == "f:":
        return f".{rest}"
    if kind == "k:":
        keys = orjson.loads(rest)
        return "[" + ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in keys.items()) + "]"
    return f"[={rest}]" if kind == "v:" else f"[{rest}]"
