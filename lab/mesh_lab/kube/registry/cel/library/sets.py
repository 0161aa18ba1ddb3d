"""Lists as sets: `sets.contains`, `sets.equivalent`, `sets.intersects`.

https://pkg.go.dev/github.com/google/cel-go/ext#hdr-Sets
"""

from __future__ import annotations

from typing import Any

from mesh_lab.kube.registry.cel.library.lists import same
from mesh_lab.kube.registry.cel.library.overloads import LISTS, Overload


def _contains(values: list[Any], wanted: list[Any]) -> bool:
    return all(any(same(value, one) for value in values) for one in wanted)


def _equivalent(one: list[Any], other: list[Any]) -> bool:
    return _contains(one, other) and _contains(other, one)


def _intersects(one: list[Any], other: list[Any]) -> bool:
    return any(same(value, wanted) for value in one for wanted in other)


FUNCTIONS = tuple(
    Overload(f"sets.{name}", (LISTS, LISTS), "bool", call, member=False)
    for name, call in (("contains", _contains), ("equivalent", _equivalent), ("intersects", _intersects))
)
