"""OTLP's messages (https://github.com/open-telemetry/opentelemetry-proto), as far as Envoy fills them in."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mesh_lab.apps.grpc import wire

KINDS = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
STATUSES = ("Unset", "Ok", "Error")


@dataclass(frozen=True)
class LogRecord:
    """A line of a log. Times are nanoseconds since 1970."""

    resource: Mapping[str, Any]
    time: int
    body: Any
    attributes: Mapping[str, Any]
    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Span:
    """A span of a trace. Times are nanoseconds since 1970."""

    resource: Mapping[str, Any]
    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: int
    start: int
    end: int
    attributes: Mapping[str, Any]
    status: int


def logs(message: bytes) -> Iterator[LogRecord]:
    """The records of an ExportLogsServiceRequest.

    Raises:
        WireError: it is none.
    """
    for resource, record in _items(message):
        yield LogRecord(
            resource=resource,
            time=wire.integer(record, 1) or wire.integer(record, 11),
            body=_value(wire.message(record, 5)),
            attributes=_attributes(record, 6),
            trace_id=_hex(record, 9),
            span_id=_hex(record, 10),
        )


def spans(message: bytes) -> Iterator[Span]:
    """The spans of an ExportTraceServiceRequest.

    Raises:
        WireError: it is none.
    """
    for resource, span in _items(message):
        yield Span(
            resource=resource,
            trace_id=_hex(span, 1),
            span_id=_hex(span, 2),
            parent_id=_hex(span, 4),
            name=wire.text(span, 5),
            kind=wire.integer(span, 6),
            start=wire.integer(span, 7),
            end=wire.integer(span, 8),
            attributes=_attributes(span, 9),
            status=wire.integer(wire.message(span, 15), 3),
        )


def _items(message: bytes) -> Iterator[tuple[dict[str, Any], wire.Fields]]:
    """Both requests are alike: per resource a list of scopes, per scope a list of items."""
    for one in wire.messages(wire.decode(message), 1):
        resource = _attributes(wire.message(one, 1), 1)
        for scope in wire.messages(one, 2):
            for item in wire.messages(scope, 2):
                yield resource, item


def _attributes(fields: wire.Fields, number: int) -> dict[str, Any]:
    return {wire.text(pair, 1): _value(wire.message(pair, 2)) for pair in wire.messages(fields, number)}


def _value(fields: wire.Fields) -> Any:
    """An AnyValue: of its fields one is there."""
    if 2 in fields:
        return bool(wire.integer(fields, 2))
    if 3 in fields:
        return wire.integer(fields, 3)
    if 4 in fields:
        return struct.unpack("<d", struct.pack("<Q", wire.integer(fields, 4) & (1 << 64) - 1))[0]
    if 5 in fields:
        return [_value(one) for one in wire.messages(wire.message(fields, 5), 1)]
    if 6 in fields:
        return _attributes(wire.message(fields, 6), 1)
    if 7 in fields:
        return _hex(fields, 7)
    return wire.text(fields, 1)


def _hex(fields: wire.Fields, number: int) -> str:
    value = fields.get(number, [b""])[-1]
    return value.hex() if isinstance(value, bytes) else ""
