"""Spans in memory, by their traces; the oldest traces go when there are too many."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

MOST_SPANS = 20_000


@dataclass(frozen=True)
class Span:
    """One span: times are in microseconds, the kind is as in Zipkin (`CLIENT`, `SERVER`, or nothing)."""

    trace: str
    id: str
    parent: str
    name: str
    service: str
    kind: str
    start: int
    duration: int
    tags: Mapping[str, str]
    resource: Mapping[str, str] = field(default_factory=dict)
    endpoint: Mapping[str, str | int] = field(default_factory=dict)


class Store:
    """Keeps spans; a trace is kept or forgotten as a whole."""

    def __init__(self, most_spans: int = MOST_SPANS) -> None:
        self._most = most_spans
        self._traces: OrderedDict[str, list[Span]] = OrderedDict()
        self._number = 0

    def add(self, spans: Iterable[Span]) -> None:
        """Take spans, in any order."""
        for span in spans:
            self._traces.setdefault(span.trace, []).append(span)
            self._number += 1
        while self._number > self._most and len(self._traces) > 1:
            _, forgotten = self._traces.popitem(last=False)
            self._number -= len(forgotten)

    def services(self) -> list[str]:
        """The names of all that have reported spans, sorted."""
        return sorted({span.service for spans in self._traces.values() for span in spans})

    def operations(self, service: str) -> list[str]:
        """What a service's spans are called."""
        return sorted({span.name for spans in self._traces.values() for span in spans if span.service == service})

    def traces(
        self, *, service: str = "", name: str = "", tags: Mapping[str, str] | None = None, limit: int = 20
    ) -> list[list[Span]]:
        """The latest traces that have a span of that service, name and tags, the latest first."""
        return list(self._found(service, name, tags or {}, limit))

    def trace(self, trace: str) -> list[Span]:
        """The spans of a trace, the earliest first; ids may be written without the zeros at their beginning."""
        wanted = trace.lower().lstrip("0")
        for key, spans in self._traces.items():
            if key.lstrip("0") == wanted:
                return _ordered(spans)
        return []

    def _found(self, service: str, name: str, tags: Mapping[str, str], limit: int) -> Iterator[list[Span]]:
        for spans in reversed(self._traces.values()):
            if limit <= 0:
                return
            if any(_fits(span, service, name, tags) for span in spans):
                limit -= 1
                yield _ordered(spans)


def _fits(span: Span, service: str, name: str, tags: Mapping[str, str]) -> bool:
    if (service and span.service != service) or (name and span.name != name):
        return False
    return all(span.tags.get(key) == value for key, value in tags.items())


def _ordered(spans: Iterable[Span]) -> list[Span]:
    return sorted(spans, key=lambda span: span.start)
