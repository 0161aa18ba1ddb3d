"""Durations and sizes as fortio prints them: counts in fixed ranges, and percentiles interpolated within a range."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

# Where ranges end, in units of the resolution.
_STEPS = ((1, 1, 12), (12, 2, 20), (20, 5, 50), (50, 10, 100))


def _ends() -> Iterator[float]:
    yield 0
    for low, step, high in _STEPS:
        yield from range(low if low == 1 else low + step, high + 1, step)
    yield from (120, 140, 160, 180, 200, 250, 300, 350, 400, 450, 500, 600, 700, 800, 900, 1000)
    yield from (2000, 3000, 4000, 5000, 7500, 10000, 20000, 30000, 40000, 50000, 75000, 100000)


ENDS = tuple(_ends())


@dataclass
class Counter:
    """Values with their count, mean and standard deviation."""

    values: list[float] = field(default_factory=list)

    def summary(self, name: str, scale: float = 1.0) -> str:
        """One line; `scale` multiplies the values."""
        values = [value * scale for value in self.values]
        if not values:
            return f"{name} : no data"
        total = sum(values)
        mean = total / len(values)
        spread = math.sqrt(max(0.0, sum((value - mean) ** 2 for value in values) / len(values)))
        numbers = f"avg {mean:.8g} +/- {spread:.4g} min {min(values):.9g} max {max(values):.9g} sum {total:.9g}"
        return f"{name} : count {len(values)} {numbers}"


@dataclass
class Histogram(Counter):
    """Values with their distribution; ranges end at multiples of `resolution`."""

    resolution: float = 0.001

    def lines(self, name: str, percentiles: Sequence[float]) -> list[str]:
        """The summary, the ranges and the percentiles."""
        lines = [self.summary(name)]
        if not self.values:
            return lines
        lines.append("# range, mid point, percentile, count")
        total = len(self.values)
        seen = 0
        for number, (low, high, count) in enumerate(self._ranges()):
            seen += count
            sign = ">=" if number == 0 else ">"
            lines.append(f"{sign} {low:.6g} <= {high:.6g} , {(low + high) / 2:.6g} , {100 * seen / total:.2f}, {count}")
        return [*lines, *(f"# target {wanted:g}% {self.percentile(wanted):.6g}" for wanted in percentiles)]

    def percentile(self, wanted: float) -> float:
        """The value that `wanted` percent of the values do not exceed, as far as ranges tell."""
        target = wanted / 100 * len(self.values)
        seen = 0
        for low, high, count in self._ranges():
            if seen + count >= target:
                return low + (high - low) * max(0.0, target - seen) / count
            seen += count
        return max(self.values)

    def _ranges(self) -> list[tuple[float, float, int]]:
        """The ranges that have values; the first begins at the least value, the last ends at the greatest."""
        counts: dict[int, int] = {}
        for value in self.values:
            place = bisect.bisect_left(ENDS, value / self.resolution)
            counts[place] = counts.get(place, 0) + 1
        least, greatest = min(self.values), max(self.values)
        ranges = []
        for place, count in sorted(counts.items()):
            low = ENDS[place - 1] * self.resolution if place else 0.0
            high = ENDS[place] * self.resolution if place < len(ENDS) else greatest
            ranges.append((max(low, least), min(high, greatest), count))
        return ranges
