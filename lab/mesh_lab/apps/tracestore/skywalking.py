"""SkyWalking's protocols: segments come by gRPC, in a stream without an end; its page asks by GraphQL.

https://github.com/apache/skywalking-data-collect-protocol/blob/master/language-agent/Tracing.proto
https://github.com/apache/skywalking-query-protocol/blob/master/trace.graphqls
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.tracestore.spans import Span, Store

SEGMENTS = "/skywalking.v3.TraceSegmentReportService/collect"
GRAPHQL = "/graphql"
_JSON = "application/json"
_KINDS = {0: "SERVER", 1: "CLIENT"}
_EXTERNAL = "segment"
_FAILED = "error"
_FIELD = re.compile(r"(?:(\w+)\s*:\s*)?queryBasicTraces\s*\(")
_SELECTED = re.compile(r"traces\s*\{([^}]*)\}")
_WORD = re.compile(r"(?:(\w+)\s*:\s*)?(\w+)")
_STEPS = {"DAY": "%Y-%m-%d", "HOUR": "%Y-%m-%d %H", "MINUTE": "%Y-%m-%d %H%M", "SECOND": "%Y-%m-%d %H%M%S"}
_STEP_SECONDS = {"DAY": 86_400, "HOUR": 3600, "MINUTE": 60, "SECOND": 1}
_MOST = 10_000


def spans_of(segment: bytes) -> Iterator[Span]:
    """The spans of a segment, as the store keeps them.

    Raises:
        WireError: it is no segment.
    """
    fields = wire.decode(segment)
    trace, name, service = wire.text(fields, 1), wire.text(fields, 2), wire.text(fields, 4)
    for span in wire.messages(fields, 3):
        number, parent = wire.integer(span, 1), wire.integer(span, 2)
        references = wire.messages(span, 5)
        above = f"{name}-{parent}" if parent >= 0 else ""
        if not above and references:
            above = f"{wire.text(references[0], 3)}-{wire.integer(references[0], 4)}"
        start, end = wire.integer(span, 3), wire.integer(span, 4)
        tags = {wire.text(tag, 1): wire.text(tag, 2) for tag in wire.messages(span, 12)}
        yield Span(
            trace=trace,
            id=f"{name}-{number}",
            parent=above,
            name=wire.text(span, 6),
            service=service,
            kind=_KINDS.get(wire.integer(span, 8), ""),
            start=start * 1000,
            duration=max(end - start, 0) * 1000,
            tags={**tags, **({_FAILED: "true"} if wire.integer(span, 11) else {})},
            resource={_EXTERNAL: name, "instance": wire.text(fields, 5)},
        )


class SkyWalkingApi:
    """Answers `/graphql`: the one query for a list of traces."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: Request) -> Response | None:
        """The answer; None to what is not of this interface."""
        if request.path != GRAPHQL:
            return None
        try:
            asked = json.loads(request.body)
            query, condition = str(asked["query"]), dict((asked.get("variables") or {}).get("condition") or {})
        except (ValueError, TypeError, KeyError):
            return _failed("a query in JSON is expected")
        field, selected = _FIELD.search(query), _SELECTED.search(query)
        if field is None or selected is None:
            return _failed("the lab's store answers queryBasicTraces and its traces only")
        try:
            found = self._found(condition)
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            return _failed(f"condition: {error}")
        names = [(alias or name, name) for alias, name in _WORD.findall(selected[1])]
        if unknown := [name for _, name in names if name not in _BASIC]:
            return _failed(f"BasicTrace has no field {unknown[0]}")
        traces = [{shown: _BASIC[name](segment) for shown, name in names} for segment in found]
        return _json({"data": {field[1] or "queryBasicTraces": {"traces": traces}}})

    def _found(self, condition: Mapping[str, Any]) -> list[list[Span]]:
        """The segments that fit, in the order and of the page that is asked for."""
        service, trace = _service(condition), str(condition.get("traceId") or "")
        traces = [self._store.trace(trace)] if trace else self._store.traces(service=service, limit=_MOST)
        segments = [one for spans in traces for one in _segments(spans) if not service or one[0].service == service]
        found = [one for one in segments if _fits(one, condition)]
        by_duration = condition.get("queryOrder", "BY_START_TIME") == "BY_DURATION"
        found.sort(key=_length if by_duration else _start, reverse=True)
        paging = condition.get("paging") or {}
        size, page = int(paging.get("pageSize") or 20), int(paging.get("pageNum") or 1)
        return found[(page - 1) * size : page * size]


def _segments(spans: list[Span]) -> list[list[Span]]:
    """The spans of a trace by the segment that they came in; those of other protocols are segments of their own."""
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.resource.get(_EXTERNAL, span.id), []).append(span)
    return list(found.values())


def _service(condition: Mapping[str, Any]) -> str:
    """The service's name, of its id: the name in base64, a dot, and whether it is a real one."""
    identity = str(condition.get("serviceId") or "").rpartition(".")[0]
    try:
        return base64.b64decode(identity, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise ValueError(f"serviceId: {identity!r} is no name in base64") from None


def _fits(segment: list[Span], condition: Mapping[str, Any]) -> bool:
    state, length = condition.get("traceState", "ALL"), _length(segment)
    if state != "ALL" and _is_error(segment) != (state == "ERROR"):
        return False
    least, most = condition.get("minTraceDuration"), condition.get("maxTraceDuration")
    if (least is not None and length < int(least)) or (most is not None and length > int(most)):
        return False
    between = condition.get("queryDuration")
    return between is None or _moment(between, "start") <= _start(segment) / 1000 < _end(between)


def _moment(between: Mapping[str, Any], name: str) -> float:
    """A time of the query, in seconds; it is in the time zone of the server, as SkyWalking has it."""
    return time.mktime(time.strptime(str(between[name]), _STEPS[between.get("step", "MINUTE")]))


def _end(between: Mapping[str, Any]) -> float:
    """The last step belongs to the time that is asked for."""
    return _moment(between, "end") + _STEP_SECONDS[between.get("step", "MINUTE")]


def _start(segment: list[Span]) -> int:
    return min(span.start for span in segment) // 1000


def _length(segment: list[Span]) -> int:
    return max(span.start + span.duration for span in segment) // 1000 - _start(segment)


def _is_error(segment: list[Span]) -> bool:
    return any(span.tags.get(_FAILED) == "true" for span in segment)


_BASIC: Mapping[str, Callable[[list[Span]], Any]] = {
    "segmentId": lambda segment: segment[0].resource.get(_EXTERNAL, segment[0].id),
    "endpointNames": lambda segment: [segment[0].name],
    "duration": _length,
    "start": lambda segment: str(_start(segment)),
    "isError": _is_error,
    "traceIds": lambda segment: [segment[0].trace],
}
"""The fields of a BasicTrace, which is one segment."""


def _json(value: object) -> Response:
    return Response(200, json.dumps(value).encode(), _JSON)


def _failed(text: str) -> Response:
    return _json({"data": None, "errors": [{"message": text}]})
