"""Passing on what was received: `debug` writes it to standard output, `zipkin` posts spans to a server."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.samples.otel.otlp import KINDS, STATUSES, LogRecord, Span
from mesh_lab.apps.service import log

_SECONDS = 5.0


def show_logs(records: Sequence[LogRecord]) -> None:
    """Write records as the collector's debug exporter does in detail."""
    for number, record in enumerate(records):
        lines = [f"LogRecord #{number}", f"Timestamp: {_time(record.time)}", f"Body: {_typed(record.body)}"]
        _write(record.resource, lines, record.attributes, record.trace_id, record.span_id)


def show_spans(spans: Sequence[Span]) -> None:
    """Write spans as the collector's debug exporter does in detail."""
    for number, span in enumerate(spans):
        lines = [f"Span #{number}", f"    Parent ID      : {span.parent_id}", f"    Name           : {span.name}"]
        lines += [f"    Kind           : {KINDS[span.kind] if span.kind < len(KINDS) else span.kind}"]
        lines += [f"    Start time     : {_time(span.start)}", f"    End time       : {_time(span.end)}"]
        lines += [f"    Status code    : {STATUSES[span.status] if span.status < len(STATUSES) else span.status}"]
        _write(span.resource, lines, span.attributes, span.trace_id, span.span_id)


def _write(resource: Mapping[str, Any], lines: list[str], attributes: Mapping[str, Any], trace: str, span: str) -> None:
    shown = ["Resource attributes:", *_listed(resource), *lines]
    shown += ["Attributes:", *_listed(attributes)] if attributes else []
    shown += [f"Trace ID: {trace}", f"Span ID: {span}"]
    sys.stdout.write("\n".join(shown) + "\n")
    sys.stdout.flush()


def _listed(attributes: Mapping[str, Any]) -> list[str]:
    return [f"     -> {name}: {_typed(value)}" for name, value in attributes.items()]


def _typed(value: Any) -> str:
    names = {bool: "Bool", int: "Int", float: "Double", list: "Slice", dict: "Map"}
    shown = json.dumps(value) if isinstance(value, bool | list | dict) else str(value).rstrip("\n")
    return f"{names.get(type(value), 'Str')}({shown})"


def _time(nanoseconds: int) -> str:
    return (
        time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(nanoseconds // 10**9)) + f".{nanoseconds % 10**9:09d} +0000 UTC"
    )


async def to_zipkin(url: str, spans: Sequence[Span]) -> None:
    """Post spans in Zipkin's format (https://zipkin.io/zipkin-api/); a failure is a line in the log."""
    body = json.dumps([zipkin(span) for span in spans]).encode()
    try:
        answer = await fetch(
            url, method="POST", headers={"content-type": "application/json"}, body=body, timeout=_SECONDS
        )
    except (ApiError, ValueError) as error:
        log(f"exporter zipkin: {url}: {error}")
        return
    if answer.status // 100 != 2:
        log(f"exporter zipkin: {url}: status {answer.status}")


def zipkin(span: Span) -> dict[str, Any]:
    """A span in Zipkin's second format."""
    tags = {name: value if isinstance(value, str) else json.dumps(value) for name, value in span.attributes.items()}
    if span.status == STATUSES.index("Error"):
        tags.setdefault("error", "true")
    value: dict[str, Any] = {
        "traceId": span.trace_id,
        "id": span.span_id,
        "name": span.name,
        "timestamp": span.start // 1000,
        "duration": max(1, (span.end - span.start) // 1000),
        "localEndpoint": {"serviceName": str(span.resource.get("service.name", "unknown"))},
        "tags": tags,
    }
    if span.parent_id:
        value["parentId"] = span.parent_id
    if KINDS[span.kind : span.kind + 1] and span.kind > 1:
        value["kind"] = KINDS[span.kind].upper()
    return value


class Tasks:
    """Work in the background: who sends must not wait for it, and a task that nobody holds is collected."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Any) -> None:
        """Run a coroutine."""
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait until all has been done."""
        await asyncio.gather(*self._running)
