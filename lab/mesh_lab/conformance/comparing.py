"""Two reports side by side: which verdicts differ, and by how much numbers do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mesh_lab.conformance.features import Case
from mesh_lab.conformance.report import Report

ABSENT = "absent"
"""The verdict on a case that a report does not have."""


@dataclass(frozen=True, slots=True)
class VerdictChange:
    """A case on which two reports differ, and what the second says of it (its reason, its failure's first line)."""

    case: Case
    before: str
    after: str
    why: str

    @property
    def broken(self) -> bool:
        """Whether the second fails what the first passes."""
        return (self.before, self.after) == ("passes", "fails")


@dataclass(frozen=True, slots=True)
class NumberChange:
    """A number of one case that both have, where it differs; its unit ends the name."""

    case: Case
    name: str
    before: float
    after: float

    @property
    def difference(self) -> float:
        """By how much the second has more."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs between two reports, by feature, protocol and API."""

    verdicts: tuple[VerdictChange, ...]
    numbers: tuple[NumberChange, ...]

    @property
    def broken(self) -> tuple[VerdictChange, ...]:
        """What the first passes and the second fails."""
        return tuple(each for each in self.verdicts if each.broken)


def compare(first: Report, second: Report) -> Comparison:
    """Lay the second beside the first."""
    return Comparison(tuple(_verdicts(first, second)), tuple(_numbers(first, second)))


def _verdicts(first: Report, second: Report) -> Iterator[VerdictChange]:
    before, after = dict(first.cases()), dict(second.cases())
    for case in sorted(before.keys() | after.keys()):
        was = before[case].verdict if case in before else ABSENT
        outcome = after.get(case)
        now = outcome.verdict if outcome else ABSENT
        if was != now:
            why = "" if outcome is None else outcome.reason or next(iter(outcome.failure), "")
            yield VerdictChange(case, was, now, why)


def _numbers(first: Report, second: Report) -> Iterator[NumberChange]:
    before, after = dict(first.cases()), dict(second.cases())
    for case in sorted(before.keys() & after.keys()):
        was, now = before[case].numbers, after[case].numbers
        for name in sorted(was.keys() & now.keys()):
            if was[name] != now[name]:
                yield NumberChange(case, name, was[name], now[name])
