"""Zipkin's interface, version 2 (https://zipkin.io/zipkin-api/): spans come and go as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.tracestore.spans import Span, Store

SPANS = "/api/v2/spans"
_JSON = "application/json"
_LIMIT = 10


class ZipkinApi:
    """Answers below `/api/v2`, with the prefix `/zipkin` or without it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def answer(self, request: Request) -> Response | None:
        """The answer; None to what is not of this interface."""
        path, query = request.path.removeprefix("/zipkin"), request.query
        if not path.startswith("/api/v2/"):
            return None
        if request.method == "POST" and path == SPANS:
            return self._take(request.body)
        what, _, rest = path.removeprefix("/api/v2/").partition("/")
        service = query.get("serviceName", "")
        match what:
            case "services":
                return _json(self._store.services())
            case "spans":
                return _json(self._store.operations(service))
            case "traces":
                return _json([encoded(spans) for spans in self._traces(query)])
            case "trace":
                spans = self._store.trace(rest)
                return _json(encoded(spans)) if spans else Response(404, f"{rest} not found\n".encode())
        return Response(404, b"not found\n")

    def _take(self, body: bytes) -> Response:
        try:
            self._store.add(spans_of(body))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return Response(400, f"these are no spans: {error}\n".encode())
        return Response(202)

    def _traces(self, query: Mapping[str, str]) -> list[list[Span]]:
        tags = dict(part.partition("=")[::2] for part in query.get("annotationQuery", "").split(" and ") if part)
        limit = query.get("limit", "")
        return self._store.traces(
            service=query.get("serviceName", ""),
            name=query.get("spanName", "").replace("all", ""),
            tags=tags,
            limit=int(limit) if limit.isdecimal() else _LIMIT,
        )


def spans_of(body: bytes) -> list[Span]:
    """Spans of a list in JSON.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it is none.
    """
    return [span_of(entry, {}) for entry in json.loads(body)]


def span_of(entry: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    """A span of a list, and what is said of where it comes from."""
    own = entry.get("localEndpoint") or {}
    return Span(
        trace=str(entry["traceId"]).lower(),
        id=str(entry["id"]).lower(),
        parent=str(entry.get("parentId") or "").lower(),
        name=str(entry.get("name") or ""),
        service=str(own.get("serviceName") or "unknown"),
        kind=str(entry.get("kind") or ""),
        start=int(entry.get("timestamp") or 0),
        duration=int(entry.get("duration") or 0),
        tags={str(key): str(value) for key, value in (entry.get("tags") or {}).items()},
        resource={key: str(value) for key, value in resource.items()},
        endpoint={key: own[key] for key in ("ipv4", "port") if key in own},
    )


def encoded(spans: Sequence[Span]) -> list[dict[str, Any]]:
    """Spans as Zipkin tells them; what is empty is left out."""
    return [
        {
            key: value
            for key, value in {
                "traceId": span.trace,
                "parentId": span.parent,
                "id": span.id,
                "kind": span.kind,
                "name": span.name,
                "timestamp": span.start,
                "duration": span.duration,
                "localEndpoint": {"serviceName": span.service, **span.endpoint},
                "tags": dict(span.tags),
            }.items()
            if value
        }
        for span in spans
    ]


def _json(value: object) -> Response:
    return Response(200, json.dumps(value).encode(), _JSON)
