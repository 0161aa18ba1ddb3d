"""What the collector's exporter `debug` writes with `verbosity: detailed`, as far as the lab's spans and records go.

https://github.com/open-telemetry/opentelemetry-collector/tree/main/exporter/debugexporter
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from mesh_lab.apps.tracestore.otlp import Record
from mesh_lab.apps.tracestore.spans import Span

_UNSET = "Unset"
T = TypeVar("T", Span, Record)


def written_spans(spans: Sequence[Span]) -> str:
    """Spans, by the resources that they come with."""
    lines = [_head("Traces", "traces", {"resource spans": len(_resources(spans)), "spans": len(spans)})]
    for number, (resource, group) in enumerate(_resources(spans)):
        lines += [f"{_now()}\tinfo\tResourceSpans #{number}", *_resource(resource), *_scope("ScopeSpans")]
        for place, span in enumerate(group):
            lines += _span(place, span)
    return "\n".join([*lines, _tail("traces")])


def written_records(records: Sequence[Record]) -> str:
    """Log records, by the resources that they come with."""
    lines = [_head("Logs", "logs", {"resource logs": len(_resources(records)), "log records": len(records)})]
    for number, (resource, group) in enumerate(_resources(records)):
        lines += [f"{_now()}\tinfo\tResourceLog #{number}", *_resource(resource), *_scope("ScopeLogs")]
        for place, record in enumerate(group):
            lines += _record(place, record)
    return "\n".join([*lines, _tail("logs")])


def _resources(items: Sequence[T]) -> list[tuple[Mapping[str, str], list[T]]]:
    groups: dict[str, tuple[Mapping[str, str], list[T]]] = {}
    for item in items:
        groups.setdefault(repr(item.resource), (item.resource, []))[1].append(item)
    return list(groups.values())


def _span(number: int, span: Span) -> Iterator[str]:
    yield f"Span #{number}"
    yield f"    Trace ID       : {span.trace}"
    yield f"    Parent ID      : {span.parent}"
    yield f"    ID             : {span.id}"
    yield f"    Name           : {span.name}"
    yield f"    Kind           : {span.kind.capitalize() or 'Unspecified'}"
    yield f"    Start time     : {_time(span.start * 1000)}"
    yield f"    End time       : {_time((span.start + span.duration) * 1000)}"
    yield f"    Status code    : {'Error' if span.tags.get('error') == 'true' else _UNSET}"
    yield "    Status message : "
    yield from _attributes(span.tags)


def _record(number: int, record: Record) -> Iterator[str]:
    yield f"LogRecord #{number}"
    yield "ObservedTimestamp: 1970-01-01 00:00:00 +0000 UTC"
    yield f"Timestamp: {_time(record.time)}"
    yield f"SeverityText: {record.severity}"
    yield "SeverityNumber: Unspecified(0)"
    yield f"Body: Str({record.body.rstrip()})"
    yield from _attributes(record.attributes)
    yield f"Trace ID: {record.trace}"
    yield f"Span ID: {record.span}"
    yield "Flags: 0"


def _resource(resource: Mapping[str, str]) -> Iterator[str]:
    yield "Resource SchemaURL: "
    if resource:
        yield "Resource attributes:"
        yield from (f"     -> {name}: Str({value})" for name, value in resource.items())


def _scope(name: str) -> list[str]:
    return [f"{name} #0", f"{name} SchemaURL: ", "InstrumentationScope  "]


def _attributes(attributes: Mapping[str, str]) -> Iterator[str]:
    if attributes:
        yield "Attributes:"
        yield from (f"     -> {name}: Str({value})" for name, value in attributes.items())


def _head(title: str, kind: str, numbers: Mapping[str, int]) -> str:
    return f"{_now()}\tinfo\t{title}\t{json.dumps({'kind': 'exporter', 'data_type': kind, 'name': 'debug', **numbers})}"


def _tail(kind: str) -> str:
    return f"\t{json.dumps({'kind': 'exporter', 'data_type': kind, 'name': 'debug'})}"


def _now() -> str:
    now = time.time()
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z"


def _time(nanoseconds: int) -> str:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0").rstrip(".")
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.gmtime(seconds))}{fraction} +0000 UTC"
