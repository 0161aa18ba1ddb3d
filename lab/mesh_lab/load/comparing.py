"""Two load runs compared: how much a figure differs, and within which bounds that is no noise.

A run is a sequence of windows of time (`windows` of load.json). Requests of one second wait for the same things, so it
is windows that are drawn again with replacement, not requests: a block bootstrap (Künsch 1989), of which the interval
between quantiles is taken (Efron and Tibshirani 1993, chapter 13). The draws are seeded: the same files give the same
verdict.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Window = Mapping[str, Any]

DRAWS = 2000
CONFIDENCE = 0.99
LEAST_WINDOWS = 5
"""With fewer there is nothing that could be said of noise."""
_SEED = 20_101


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of two runs: before, after, and the bounds of the difference (in the figure's own unit)."""

    figure: str
    unit: str
    before: float
    after: float
    low: float
    high: float
    more_is_better: bool

    @property
    def verdict(self) -> str:
        """`worse` or `better` where the interval leaves out no difference at all, else `no difference shown`."""
        if self.low <= 0 <= self.high:
            return "no difference shown"
        return "better" if (self.low > 0) is self.more_is_better else "worse"


def _rate(windows: Sequence[Window]) -> float:
    seconds = sum(window["seconds"] for window in windows)
    return sum(window["requests"] for window in windows) / seconds if seconds else 0.0


def _errors(windows: Sequence[Window]) -> float:
    requests = sum(window["requests"] for window in windows)
    return sum(window["failures"] for window in windows) / requests if requests else 0.0


def quantile(share: float) -> Callable[[Sequence[Window]], float]:
    """The function that finds a quantile of the latencies (milliseconds) of windows; 0 without any."""

    def found(windows: Sequence[Window]) -> float:
        counts: Counter[float] = Counter()
        for window in windows:
            for latency, count in window["latencies_ms"]:
                counts[latency] += count
        wanted, seen = math.ceil(share * counts.total()), 0
        for latency in sorted(counts):
            seen += counts[latency]
            if seen >= wanted:
                return float(latency)
        return 0.0

    return found


FIGURES: Mapping[str, tuple[str, Callable[[Sequence[Window]], float], bool]] = {
    "requests/s": ("", _rate, True),
    "errors": ("ratio", _errors, False),
    "p50": ("ms", quantile(0.5), False),
    "p90": ("ms", quantile(0.9), False),
    "p99": ("ms", quantile(0.99), False),
}
"""By name: the unit, how it is computed of windows, and whether more of it is better."""


def compare(before: Sequence[Window], after: Sequence[Window]) -> list[Comparison]:
    """Compare all figures of two runs.

    Raises:
        ValueError: a run has too few windows.
    """
    for name, windows in (("first", before), ("second", after)):
        if len(windows) < LEAST_WINDOWS:
            raise ValueError(f"the {name} run has {len(windows)} windows of time, and {LEAST_WINDOWS} are needed")
    return [_compared(name, before, after) for name in FIGURES]


def _compared(name: str, before: Sequence[Window], after: Sequence[Window]) -> Comparison:
    unit, figure, more_is_better = FIGURES[name]
    draws = random.Random(_SEED)
    found = sorted(
        figure(draws.choices(after, k=len(after))) - figure(draws.choices(before, k=len(before))) for _ in range(DRAWS)
    )
    tail = (1 - CONFIDENCE) / 2
    low, high = found[int(tail * DRAWS)], found[math.ceil((1 - tail) * DRAWS) - 1]
    return Comparison(name, unit, figure(before), figure(after), low, high, more_is_better)


def table(comparisons: Sequence[Comparison]) -> list[str]:
    """The lines for a person."""
    lines = [f"{'':<12}{'first':>12}{'second':>12}{'difference':>14}   within ({CONFIDENCE:.0%})"]
    for each in comparisons:
        bounds = f"{each.low:+.4g} to {each.high:+.4g}"
        label = f"{each.figure} {f'({each.unit})' if each.unit == 'ms' else ''}".strip()
        lines.append(
            f"{label:<12}{each.before:>12.4g}{each.after:>12.4g}{each.after - each.before:>+14.4g}   "
            f"{bounds:<24} {each.verdict}"
        )
    return lines
