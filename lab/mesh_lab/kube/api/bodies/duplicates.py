"""Duplicate fields of a JSON body: the last one counts, as in Go, and the client is warned (`fieldValidation`).

orjson does not report them. Most bodies have none, which counting shows: as many keys in the text as in the value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

_UNUSUAL = re.compile(rb'"\s+:|\\\\":')
"""A key apart from its colon, or one that may end with a backslash: counting would be wrong."""


class _Repeated(dict[str, Any]):
    """An object with duplicate keys."""

    repeated: tuple[str, ...] = ()


def find(body: bytes, value: Any) -> tuple[str, ...]:
    """Return the paths of the duplicate fields of `body`; `value` is its decoded value."""
    if not _UNUSUAL.search(body) and body.count(b'":') - body.count(b'\\":') == _keys(value):
        return ()
    return tuple(_paths(json.loads(body, object_pairs_hook=_object), ""))


def _keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_keys(inner) for inner in value.values() if isinstance(inner, dict | list))
    if isinstance(value, list):
        return sum(_keys(inner) for inner in value if isinstance(inner, dict | list))
    return 0


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    times = Counter(name for name, _ in pairs)
    marked = _Repeated(made)
    marked.repeated = tuple(name for name in made if times[name] > 1)
    return marked


def _paths(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        prefix = f"{path}." if path else ""
        if isinstance(value, _Repeated):
            yield from (prefix + name for name in value.repeated)
        for name, inner in value.items():
            yield from _paths(inner, prefix + name)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _paths(inner, f"{path}[{index}]")
