"""A page for a browser: the services, the latest traces of one, and the spans of one trace."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import quote

from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.tracestore.spans import Span, Store

_HTML = "text/html; charset=utf-8"
_STYLE = "body{font-family:sans-serif;margin:2em}td{padding:0 1em 0 0}.bar{background:#69c;height:.8em}"


def page(store: Store, request: Request, title: str) -> Response:
    """The page that the query asks for: `trace`, or else the traces of `service`."""
    trace, service = request.query.get("trace", ""), request.query.get("service", "")
    parts = [f"<h1>{escape(title)}</h1><p>", *_links(store.services()), "</p>"]
    if trace:
        parts += _spans(store.trace(trace))
    elif service:
        parts += _traces(store.traces(service=service))
    text = f"<!DOCTYPE html><title>{escape(title)}</title><style>{_STYLE}</style>{''.join(parts)}"
    return Response(200, text.encode(), _HTML)


def _links(services: Iterable[str]) -> list[str]:
    return [f'<a href="?service={quote(name)}">{escape(name)}</a> ' for name in services] or ["No spans yet."]


def _traces(traces: Iterable[Sequence[Span]]) -> list[str]:
    rows = (
        f'<tr><td><a href="?trace={quote(spans[0].trace)}">{escape(spans[0].trace)}</a><td>{escape(spans[0].name)}'
        f"<td>{len(spans)} spans<td>{_length(spans) / 1000:.1f} ms"
        for spans in traces
    )
    return ["<table>", *rows, "</table>"]


def _spans(spans: Sequence[Span]) -> list[str]:
    if not spans:
        return ["<p>There is no such trace.</p>"]
    start, length = spans[0].start, max(_length(spans), 1)
    rows = (
        f'<tr title="{escape(", ".join(f"{key}={value}" for key, value in span.tags.items()))}">'
        f"<td>{escape(span.service)}<td>{escape(span.name)}<td>{escape(span.kind)}<td>{span.duration / 1000:.1f} ms"
        f'<td><div class="bar" style="margin-left:{300 * (span.start - start) // length}px;'
        f'width:{max(300 * span.duration // length, 1)}px"></div>'
        for span in spans
    )
    return ["<table>", *rows, "</table>"]


def _length(spans: Sequence[Span]) -> int:
    """From the beginning of the first to the last end, in microseconds."""
    return max(span.start + span.duration for span in spans) - min(span.start for span in spans)
