"""The operating characteristic of the sequential test of a split, as the table of docs/statistics.md.

    python -m tests.bench.bench_statistics

Computed, not measured: it is the same on every machine.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from mesh_lab.harness.sequential import characteristic
from mesh_lab.harness.splits import BATCH

CASES = {
    0.9: (0.9, 0.89, 0.88, 0.87, 0.86, 0.85, 0.8, 0.95),
    0.75: (0.75, 0.73, 0.7, 0.65, 0.8),
    0.5: (0.5, 0.48, 0.45, 0.4),
    0.99: (0.99, 0.97, 0.94),
}
"""By written share, the shares that the first version gets in truth."""

HEAD = ("| written | in truth | passes | fails | requests, median | 99 of 100 |", "|---|---|---|---|---|---|")


def row(written: float, real: float) -> str:
    """One line of the table."""
    found = characteristic(written, real, batch=BATCH)
    shares = " | ".join(f"{100 * share:g}/{100 - 100 * share:g}" for share in (written, round(real, 4)))
    return (
        f"| {shares} | {_chance(found.as_written)} | {_chance(found.deviates)} | {found.median} | {found.nearly_all} |"
    )


def _chance(value: float) -> str:
    if value > 0.99:
        return f"all but {max(1 - value, 0):.1g}"
    return f"{value:.1g}" if value < 0.01 else f"{value:.0%}"


def table() -> Iterator[str]:
    """All lines."""
    yield from HEAD
    for written, reals in CASES.items():
        yield from (row(written, real) for real in reals)


if __name__ == "__main__":
    sys.stdout.writelines(f"{line}\n" for line in table())
