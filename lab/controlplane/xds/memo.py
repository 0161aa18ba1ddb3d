"""A memory of pure functions' results, by the identity of their inputs.

The snapshot keeps what has not changed as the very same objects: whatever was made from those need not be made again.
Plain values (strings, numbers, tuples of such) are inputs too, compared by value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = object()


class Memo:
    """Results in two generations: one that is not asked for during a whole generation is forgotten.

    A generation ends when twice as many results were asked for as in the one before, or `least`, if that is more.
    """

    def __init__(self, least: int = 16_384) -> None:
        self._least = least
        self._limit = least
        self._young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}

    def __call__(self, function: Callable[P, R], *inputs: P.args, **named: P.kwargs) -> R:
        """`function(*inputs)`, or the very result of the last time with these inputs. Inputs must be hashable."""
        if named:
            raise TypeError("a memoised function takes its inputs by position")
        key = (function, *inputs)
        result = self._young.get(key, _MISSING)
        if result is _MISSING:
            result = self._old.get(key, _MISSING)
            if result is _MISSING:
                result = function(*inputs, **named)
            self._remember(key, result)
        return result  # type: ignore[no-any-return]

    def _remember(self, key: Any, result: Any) -> None:
        if len(self._young) >= self._limit:
            self._limit = max(self._least, 2 * len(self._young))
            self._old, self._young = self._young, {}
        self._young[key] = result
