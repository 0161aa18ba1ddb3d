"""What the assertions have in common: how they say what they have seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from mesh_lab.harness.results import Result

MAX_SHOWN = 5


def some(results: Collection[Result]) -> None:
    """Nothing sent proves nothing.

    Raises:
        AssertionError: there are no results.
    """
    __tracebackhide__ = True
    if not results:
        raise AssertionError("there are no results: nothing was sent")


def table(counts: Mapping[str, int]) -> str:
    """Counts in one line, the largest first."""
    return ", ".join(f"{count} × {name or '?'}" for name, count in sorted(counts.items(), key=lambda pair: -pair[1]))


def line(result: Result) -> str:
    """One result: when, what, from where, how long; and what the client's proxy recorded of it."""
    what = result.detail or f"{result.outcome} from {result.version or '?'} {result.hostname}".rstrip()
    told = f"after {result.at_ms:.0f} ms: {what} ({result.duration_ms:.1f} ms)"
    if result.record is None:
        return told
    seen = result.record
    place = seen.pod or seen.upstream or "no endpoint"
    return f"{told}; attempts {seen.attempts}, flags {seen.flags or '-'}, {seen.details or '-'}, {place}"


def first_of(results: Collection[Result]) -> str:
    """The first few of them, a line each."""
    return "".join(f"  {line(result)}\n" for result in list(results)[:MAX_SHOWN])
