"""Jaeger's interface for its own page (https://www.jaegertracing.io/docs/latest/apis/#query-json-over-http)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.tracestore.spans import Span, Store

_JSON = "application/json"
_LIMIT = 20


class JaegerApi:
    """Answers below `/api`, with the prefix `/jaeger` or without it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: Request) -> Response | None:
        """The answer; None to what is not of this interface."""
        path, query = request.path.removeprefix("/jaeger"), request.query
        if not path.startswith("/api/"):
            return None
        match path.removeprefix("/api/").split("/"):
            case ["services"]:
                return _json(self._store.services())
            case ["services", service, "operations"]:
                return _json(self._store.operations(service))
            case ["operations"]:
                names = self._store.operations(query.get("service", ""))
                return _json([{"name": name, "spanKind": ""} for name in names])
            case ["traces"]:
                return self._traces(query)
            case ["traces", trace]:
                spans = self._store.trace(trace)
                return _json([encoded(spans)]) if spans else _failed(404, "trace not found")
        return _failed(404, "not found")

    def _traces(self, query: Mapping[str, str]) -> Response:
        service, limit = query.get("service", ""), query.get("limit", "")
        if not service:
            return _failed(400, "parameter 'service' is required")
        try:
            tags = {str(key): str(value) for key, value in json.loads(query.get("tags") or "{}").items()}
        except (ValueError, AttributeError):
            return _failed(400, "malformed 'tags' parameter, expecting a JSON object")
        number = int(limit) if limit.isdecimal() else _LIMIT
        found = self._store.traces(service=service, name=query.get("operation", ""), tags=tags, limit=number)
        return _json([encoded(spans) for spans in found])


def encoded(spans: Sequence[Span]) -> dict[str, Any]:
    """A trace as Jaeger tells it: spans, and the processes that they are of."""
    processes: dict[str, str] = {}
    for span in spans:
        processes.setdefault(span.service, f"p{len(processes) + 1}")
    resources = {span.service: span.resource for span in spans}
    return {
        "traceID": spans[0].trace,
        "spans": [_span(span, processes[span.service]) for span in spans],
        "processes": {
            name: {"serviceName": service, "tags": _tags(resources[service])} for service, name in processes.items()
        },
        "warnings": None,
    }


def _span(span: Span, process: str) -> dict[str, Any]:
    parent = {"refType": "CHILD_OF", "traceID": span.trace, "spanID": span.parent}
    tags = {**span.tags, **({"span.kind": span.kind.lower()} if span.kind else {})}
    return {
        "traceID": span.trace,
        "spanID": span.id,
        "operationName": span.name,
        "references": [parent] if span.parent else [],
        "startTime": span.start,
        "duration": span.duration,
        "tags": _tags(tags),
        "logs": [],
        "processID": process,
        "warnings": None,
    }


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "type": "string", "value": value} for key, value in tags.items()]


def _json(data: list[Any]) -> Response:
    answer = {"data": data, "total": len(data), "limit": 0, "offset": 0, "errors": None}
    return Response(200, json.dumps(answer).encode(), _JSON)


def _failed(status: int, text: str) -> Response:
    answer = {"data": None, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": status, "msg": text}]}
    return Response(status, json.dumps(answer).encode(), _JSON)
