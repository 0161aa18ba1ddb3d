"""Numbers that a test has seen: each name ends with what it is measured in, so that two reports can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableSequence

UNITS: Mapping[str, str] = {
    "count": "how many",
    "ratio": "a share, 0 to 1 (or a factor)",
    "s": "seconds",
    "ms": "milliseconds",
    "bytes": "bytes",
    "per_s": "how many in a second",
}
"""How a name may end."""

PREFIX = "mesh.number."
"""Of the property of a test's report that holds a number."""


class Numbers:
    """What `mesh_record` is: notes what a test has seen, `mesh_record(requests_count=600, v2_ratio=0.31)`.

    They go to the `properties` of the test's reports, which JUnit's XML has as well.
    """

    def __init__(self, properties: MutableSequence[tuple[str, object]]) -> None:
        self._properties = properties

    def __call__(self, **numbers: float) -> None:
        """Note numbers by name, with the unit at its end.

        Raises:
            ValueError: a name without a unit, or that was noted before; a value that is no finite number.
        """
        for name, value in numbers.items():
            number = checked(name, value)
            if name in noted(self._properties):
                raise ValueError(f"{name} was recorded before: one number for each name")
            self._properties.append((f"{PREFIX}{name}", number))


def checked(name: str, value: object) -> float:
    """The number.

    Raises:
        ValueError: the name does not end with a unit, or the value is no finite number.
    """
    if not name.isidentifier() or not any(name.endswith(f"_{unit}") for unit in UNITS):
        raise ValueError(
            f"{name!r} does not say its unit: it is to end with one of {', '.join(f'_{u}' for u in UNITS)}"
        )
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name}: {value!r} is no finite number")
    return float(value)


def noted(properties: Iterable[tuple[str, object]]) -> dict[str, float]:
    """The numbers among a report's properties, by name."""
    return {name.removeprefix(PREFIX): float(str(value)) for name, value in properties if name.startswith(PREFIX)}
