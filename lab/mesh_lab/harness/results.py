"""What the traffic client reports."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any


@dataclass(frozen=True, slots=True)
class Result:
    """One request: its status (0: no answer, `error` names the reason); times in ms since the run's start."""

    status: int
    at_ms: float
    duration_ms: float
    error: str = ""
    detail: str = ""
    version: str = ""
    hostname: str = ""
    protocol: str = ""
    id: str = ""
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        """The body, parsed.

        Raises:
            ValueError: it is not JSON (or was not asked for).
        """
        return json.loads(self.body)

    @property
    def outcome(self) -> str:
        """The status, or the error's name."""
        return str(self.status) if self.status else self.error


By = str | Callable[[Result], object]
"""How results are told apart: the name of an attribute, or a function (`by_header`, `by_json`, or any other)."""


class Results(list[Result]):
    """All results of a run, in the order in which they came in."""

    def counts(self, by: By) -> Counter[str]:
        """How many results have which value of an attribute, or of a function of theirs."""
        value = by if callable(by) else attrgetter(by)
        return Counter(str(value(result)) for result in self)

    def versions(self) -> Counter[str]:
        """How many results are of which version; those without one are under the empty text."""
        return self.counts("version")

    def read_by(self, version_of: Callable[[Result], str]) -> Results:
        """The same results with the version that a function reads from each."""
        return Results(replace(result, version=version_of(result)) for result in self)

    def with_status(self, status: int) -> Results:
        """The results of this status."""
        return Results(result for result in self if result.status == status)


def parse_results(lines: Iterable[str]) -> Results:
    """The results in what `mesh-lab-app send` printed.

    Raises:
        ValueError: a line that is not its output, or a run that ended without its summary.
    """
    results, complete = Results(), False
    for line in lines:
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError:
            raise ValueError(f"not a result of `mesh-lab-app send`: {line[:200]!r}") from None
        if "summary" in entry:
            complete = not entry["summary"]["cut_short"]
            continue
        results.append(_result(entry))
    if not complete:
        raise ValueError(f"the run of requests was cut short after {len(results)} results")
    return results


def _result(entry: Mapping[str, Any]) -> Result:
    known = {name: entry[name] for name in Result.__dataclass_fields__ if entry.get(name) is not None}
    return Result(**known)
