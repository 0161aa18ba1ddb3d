"""A search for a breakpoint as it goes on: which level is now, and what each step has measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from arrivals import ratios
from limits import Limit, broken
from steps import Search, Snapshot

WAITING_RATIO = 0.05
"""When more of a step's arrivals have not begun at its end, they become ever more: nobody keeps up with them."""


class Stepping:
    """Called once a second with all that was counted until then."""

    def __init__(self, search: Search, limits: Sequence[Limit]) -> None:
        self.search = search
        self._limits = limits
        self._since: Snapshot | None = None

    def level(self, elapsed: float, counted: Snapshot) -> float | None:
        """The level of now, `elapsed` seconds after the first step began; None when the search is over."""
        if self.search.due(elapsed) and self._since is not None:
            figures = counted.since(self._since)
            figures |= ratios(figures.get("arrivals", {}))
            self.search.close(figures, [*broken(self._limits, figures), *_overwhelmed(figures)])
            self._since = None
        elif self._since is None and self.search.settled(elapsed):
            self._since = counted
        return None if self.search.over else self.search.level


def _overwhelmed(figures: Mapping[str, Any]) -> Iterator[str]:
    """What shows, without any limit, that a level is too high."""
    if not figures["requests"]:
        yield "no request was answered"
    arrivals = figures.get("arrivals", {"due": 0})
    if arrivals["due"] and (waiting := arrivals["due"] - arrivals["begun"]) > arrivals["due"] * WAITING_RATIO:
        yield f"of {arrivals['due']} tasks that were due, {waiting} had not begun"
