"""A cache of pure functions' results, by the identity of their inputs.

The snapshot keeps what has not changed as the very same objects: whatever was made from those need not be made again.
Plain values (strings, numbers, tuples of such) are inputs too, compared by value.

`memoised` marks such functions. Their caller chooses the memory that they use, by `using`: so each generator forgets at
its own pace, and without a generator nothing is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_MISSING = object()


class Memo:
    """Results in two generations: one that is not asked for again during a whole generation is forgotten.

    A generation ends at the `turn` after as many new results were made as older ones were asked for again, or `least`,
    if that is more. So what is kept is at most a few times what is in use, however much comes and goes. A large result
    counts as several: it says how many by `memory_weight`.
    """

    def __init__(self, least: int = 4096) -> None:
        self._least = least
        # The results of this generation, by function and inputs.
        self.young: dict[Any, Any] = {}
        self._old: dict[Any, Any] = {}
        self._made = 0
        self._again = 0

    def __call__(self, function: Callable[P, R], *inputs: P.args, **named: P.kwargs) -> R:
        """`function(*inputs)`, or the very same result as the last time with these inputs. Inputs must be hashable."""
        if named:
            raise TypeError("a memoised function takes its inputs by position")
        key = (function, *inputs)
        result = self.young.get(key, _MISSING)
        if result is _MISSING:
            result = self._old.pop(key, _MISSING)
            if result is _MISSING:
                result = function(*inputs, **named)
                self._made += getattr(result, "memory_weight", 1)
            else:
                self._again += 1
            self.young[key] = result
        return result  # type: ignore[no-any-return]

    def __len__(self) -> int:
        """How many results are kept."""
        return len(self.young) + len(self._old)

    def turn(self) -> None:
        """Mark a change. Only now may a generation end, so that all results for one snapshot fit into one."""
        if self._made >= max(self._least, self._again):
            self._old, self.young = self.young, {}
            self._made = self._again = 0


_IN_USE: ContextVar[Memo | None] = ContextVar("memo", default=None)


@contextmanager
def using(memo: Memo) -> Iterator[None]:
    """Within it, memoised functions use this memory."""
    token = _IN_USE.set(memo)
    try:
        yield
    finally:
        _IN_USE.reset(token)


def memoised(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with its results kept in the memory that is in use, if any. Inputs are given by position."""

    @wraps(function)
    def remembered(*inputs: P.args, **named: P.kwargs) -> R:
        memo = _IN_USE.get()
        if memo is None:
            return function(*inputs, **named)
        # Nearly all are found here, ten thousand for a change among a thousand routes: a call less for each.
        known: Any = memo.young.get((function, *inputs), _MISSING) if not named else _MISSING
        return memo(function, *inputs, **named) if known is _MISSING else known

    return remembered
