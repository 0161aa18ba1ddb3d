"""`mesh-lab-app jaeger`, `zipkin` and `otelcol`: one store of traces, with the ports and the face of each of the three.

All take spans in Zipkin's and OpenTelemetry's protocols. The collector writes what it receives to its log, and hands
spans on to Zipkin, as its configuration says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcServer, is_call
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.service import run
from mesh_lab.apps.tracestore import debug, otlp, zipkin
from mesh_lab.apps.tracestore.jaeger import JaegerApi
from mesh_lab.apps.tracestore.page import page
from mesh_lab.apps.tracestore.spans import Span, Store

GRPC_PORT, HTTP_PORT, ZIPKIN_PORT = 4317, 4318, 9411
JAEGER_PORT, JAEGER_METRICS_PORT, HEALTH_PORT = 16686, 8888, 13133
_SECONDS = 5.0
_PROTOBUF = "application/x-protobuf"

Sink = Callable[[Sequence[Span]], Awaitable[None]]


@dataclass(frozen=True)
class Exporters:
    """Where the collector's spans and records go: to its log, and to Zipkin at these URLs."""

    written_spans: bool = False
    written_records: bool = False
    zipkin: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Exporters:
        """Those that the pipelines of a collector's configuration name."""
        pipelines = (config.get("service") or {}).get("pipelines") or {}
        spans = _exporters(pipelines, "traces")
        known = config.get("exporters") or {}
        urls = [str((known.get(name) or {}).get("endpoint") or "") for name in spans if _kind(name) == "zipkin"]
        return cls(_writes(spans), _writes(_exporters(pipelines, "logs")), tuple(dict.fromkeys(filter(None, urls))))


def _exporters(pipelines: Mapping[str, Any], signal: str) -> list[str]:
    named = (part for name, part in pipelines.items() if _kind(name) == signal)
    return [name for part in named for name in part.get("exporters") or ()]


def _writes(exporters: Sequence[str]) -> bool:
    """`logging` was the name of `debug`."""
    return any(_kind(name) in ("debug", "logging") for name in exporters)


def _kind(name: str) -> str:
    return name.partition("/")[0]


class Receiver:
    """Takes spans and log records in each protocol, on any port."""

    def __init__(self, store: Store, exporters: Exporters = Exporters(), face: str = "") -> None:
        self._store = store
        self._exporters = exporters
        self._face = face
        self._zipkin, self._jaeger = zipkin.ZipkinApi(store), JaegerApi(store)
        self._grpc = GrpcServer({otlp.TRACES: self._traces, otlp.LOGS: self._logs})
        self._sending: set[asyncio.Task[None]] = set()

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if is_call(request):
            return await self._grpc(request)
        if request.method == "POST" and request.path in ("/v1/traces", "/v1/logs"):
            return await self._over_http(request)
        found = self._zipkin.answer(request) or self._jaeger.answer(request)
        if found is not None:
            return found
        if request.path in ("/health", "/status", "/info"):
            return Response(200, json.dumps({"status": "UP"}).encode(), "application/json")
        if request.path == "/metrics":
            return Response(200, b"")
        if self._face and request.method in ("GET", "HEAD"):
            return page(self._store, request, self._face)
        return Response(404, b"not found\n")

    async def _over_http(self, request: Request) -> Response:
        take = self._traces if request.path == "/v1/traces" else self._logs
        if not request.headers.get("content-type").startswith(_PROTOBUF):
            return Response(415, f"only {_PROTOBUF} is taken here\n".encode())
        try:
            return Response(200, await take(request.body, request), _PROTOBUF)
        except wire.WireError as error:
            return Response(400, f"{error}\n".encode())

    async def _traces(self, message: bytes, _: Request) -> bytes:
        spans = otlp.spans_of(message)
        self._store.add(spans)
        if self._exporters.written_spans:
            _write(debug.written_spans(spans))
        for url in self._exporters.zipkin:
            task = asyncio.create_task(_send(url, spans))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        return b""

    async def _logs(self, message: bytes, _: Request) -> bytes:
        records = otlp.records_of(message)
        if self._exporters.written_records:
            _write(debug.written_records(records))
        return b""


async def _send(url: str, spans: Sequence[Span]) -> None:
    """Hand spans on to Zipkin. What cannot be sent is lost, and said."""
    body = json.dumps(zipkin.encoded(spans)).encode()
    try:
        async with asyncio.timeout(_SECONDS):
            await fetch(url, method="POST", headers={"content-type": "application/json"}, body=body)
    except (ApiError, OSError, ValueError, TimeoutError) as error:
        _write(f"error\tExporting failed. Dropping data.\t{json.dumps({'name': 'zipkin', 'error': str(error)})}")


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def jaeger(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with Jaeger's ports."""
    _ignored(arguments, "jaeger", "Keeps traces, and shows them as Jaeger does.")
    ports = (GRPC_PORT, HTTP_PORT, ZIPKIN_PORT, JAEGER_PORT, JAEGER_METRICS_PORT, HEALTH_PORT)
    return run("jaeger", Receiver(Store(), face="jaeger"), ports)


def zipkin_server(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with Zipkin's port."""
    _ignored(arguments, "zipkin", "Keeps traces, and shows them as Zipkin does.")
    return run("zipkin", Receiver(Store(), face="zipkin"), (ZIPKIN_PORT,))


def collector(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with the ports of OpenTelemetry's collector."""
    parser = argparse.ArgumentParser(prog="otelcol", description="Writes and hands on what it receives.")
    parser.add_argument("--config", default="")
    options, _ = parser.parse_known_args(arguments)
    exporters = Exporters.of(_read(options.config)) if options.config else Exporters(True, True)
    gc.collect()
    return run("otelcol", Receiver(Store(0), exporters), (GRPC_PORT, HTTP_PORT, HEALTH_PORT))


def _read(file: str) -> Mapping[str, Any]:
    import yaml  # only the collector has a configuration

    content = yaml.safe_load(Path(file).read_text())
    return content if isinstance(content, dict) else {}


def _ignored(arguments: Sequence[str], name: str, what: str) -> None:
    """Options of the program that this one stands for are taken, and mean nothing here."""
    argparse.ArgumentParser(prog=name, description=what).parse_known_args(arguments)
