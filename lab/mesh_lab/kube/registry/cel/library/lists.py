"""Lists: `isSorted`, `sum`, `min`, `max`, `slice`, `flatten`, `distinct`, `sort`, `lists.range`.

`indexOf` and `lastIndexOf` are left out: the CEL library has them for strings, and lets nobody add to its functions.

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-list-library
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

from mesh_lab.kube.registry.cel.library.overloads import LISTS, SCALARS, Overload


def _is_sorted(values: list[Any]) -> bool:
    return all(not later < earlier for earlier, later in pairwise(values))


def _sum(values: list[Any]) -> Any:
    if any(isinstance(value, (str, bytes, bool)) for value in values):
        raise ValueError("no such overload")
    return sum(values[1:], values[0]) if values else 0


def _of_some(choose: Callable[[list[Any]], Any], name: str) -> Callable[[list[Any]], Any]:
    def chosen(values: list[Any]) -> Any:
        if not values:
            raise ValueError(f"{name} called on empty list")
        return choose(values)

    return chosen


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in CEL: a truth value is no number."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _index_of(values: list[Any], wanted: Any) -> int:
    return next((index for index, value in enumerate(values) if same(value, wanted)), -1)


def _slice(values: list[Any], start: int, end: int) -> list[Any]:
    if start < 0 or end < 0:
        raise ValueError(f"cannot slice({start}, {end}), negative indexes not supported")
    if start > end:
        raise ValueError(f"cannot slice({start}, {end}), start index must be less than or equal to end index")
    if end > len(values):
        raise ValueError(f"cannot slice({start}, {end}), list is length {len(values)}")
    return values[start:end]


def _flatten(values: list[Any], depth: int = 1) -> list[Any]:
    if depth < 0:
        raise ValueError("level must be non-negative")
    flat: list[Any] = []
    for value in values:
        flat += _flatten(value, depth - 1) if isinstance(value, list) and depth else [value]
    return flat


def _distinct(values: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for value in values:
        if _index_of(kept, value) < 0:
            kept.append(value)
    return kept


FUNCTIONS: tuple[Overload, ...] = (
    *(Overload("isSorted", (f"list({one})",), "bool", _is_sorted) for one in SCALARS),
    Overload("sum", (LISTS,), "dyn", _sum),
    Overload("min", (LISTS,), "dyn", _of_some(min, "min")),
    Overload("max", (LISTS,), "dyn", _of_some(max, "max")),
    Overload("lists.range", ("int",), "list(int)", lambda count: list(range(count)), member=False),
    Overload("slice", (LISTS, "int", "int"), LISTS, _slice),
    Overload("flatten", (LISTS,), LISTS, _flatten),
    Overload("flatten", (LISTS, "int"), LISTS, _flatten),
    Overload("distinct", (LISTS,), LISTS, _distinct),
    Overload("sort", (LISTS,), LISTS, sorted),
)
