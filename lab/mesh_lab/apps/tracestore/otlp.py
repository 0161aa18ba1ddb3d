"""OpenTelemetry's protocol: spans and log records of its requests, by field numbers.

https://github.com/open-telemetry/opentelemetry-proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.tracestore.spans import Span

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"

_KINDS = {2: "SERVER", 3: "CLIENT", 4: "PRODUCER", 5: "CONSUMER"}
_ERROR = 2


@dataclass(frozen=True)
class Record:
    """A log record; `time` is in nanoseconds."""

    time: int
    severity: str
    body: str
    attributes: Mapping[str, str]
    resource: Mapping[str, str]
    trace: str
    span: str


def spans_of(request: bytes) -> list[Span]:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        WireError: it is none.
    """
    return [span for resource, fields in _parts(request) for span in (_span(resource, fields),)]


def records_of(request: bytes) -> list[Record]:
    """The records of an ExportLogsServiceRequest.

    Raises:
        WireError: it is none.
    """
    return [_record(resource, fields) for resource, fields in _parts(request)]


def _parts(request: bytes) -> Iterator[tuple[Mapping[str, str], wire.Fields]]:
    """Spans and records are within scopes, and these within resources, by the same numbers."""
    for group in wire.messages(wire.decode(request), 1):
        resource = _attributes(wire.message(group, 1), 1)
        for scope in wire.messages(group, 2):
            for fields in wire.messages(scope, 2):
                yield resource, fields


def _span(resource: Mapping[str, str], fields: wire.Fields) -> Span:
    start, end = wire.integer(fields, 7), wire.integer(fields, 8)
    tags = _attributes(fields, 9)
    if wire.integer(wire.message(fields, 15), 3) == _ERROR:
        tags.setdefault("error", "true")
    return Span(
        trace=_hex(fields, 1),
        id=_hex(fields, 2),
        parent=_hex(fields, 4),
        name=wire.text(fields, 5),
        service=resource.get("service.name", "unknown_service"),
        kind=_KINDS.get(wire.integer(fields, 6), ""),
        start=start // 1000,
        duration=max(end - start, 0) // 1000,
        tags=tags,
        resource=resource,
    )


def _record(resource: Mapping[str, str], fields: wire.Fields) -> Record:
    return Record(
        time=wire.integer(fields, 1),
        severity=wire.text(fields, 3),
        body=_value(wire.message(fields, 5)),
        attributes=_attributes(fields, 6),
        resource=resource,
        trace=_hex(fields, 9),
        span=_hex(fields, 10),
    )


def _attributes(fields: wire.Fields, number: int) -> dict[str, str]:
    return {wire.text(entry, 1): _value(wire.message(entry, 2)) for entry in wire.messages(fields, number)}


def _value(fields: wire.Fields) -> str:
    """An AnyValue as text."""
    if 2 in fields:
        return "true" if wire.integer(fields, 2) else "false"
    if 3 in fields:
        return str(wire.integer(fields, 3))
    if 4 in fields:
        return str(struct.unpack("<d", struct.pack("<q", wire.integer(fields, 4)))[0])
    if 5 in fields:
        return "[" + ", ".join(_value(item) for item in wire.messages(wire.message(fields, 5), 1)) + "]"
    if 6 in fields:
        return str(_attributes(wire.message(fields, 6), 1))
    return wire.text(fields, 1)


def _hex(fields: wire.Fields, number: int) -> str:
    value = fields.get(number, [b""])[-1]
    return value.hex() if isinstance(value, bytes) else ""
