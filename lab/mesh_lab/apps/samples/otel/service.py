"""The receivers' handlers, and the command line."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.server import GrpcError, GrpcServer, Method
from mesh_lab.apps.http import server as http
from mesh_lab.apps.http.connection import Handler
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.otel import otlp
from mesh_lab.apps.samples.otel.config import SIGNALS, Collector, ConfigError, Exporter, Receiver, load
from mesh_lab.apps.samples.otel.exporters import Tasks, show_logs, show_spans, to_zipkin
from mesh_lab.apps.service import log

HEALTH_PORT = 13133
_UNAUTHENTICATED = 16
_SERVICES = {
    "logs": "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
    "traces": "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "metrics": "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
}


class Pipelines:
    """What is done with what a receiver gets."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self.tasks = Tasks()

    def take(self, receiver: str, signal: str, message: bytes) -> None:
        """Pass on one request's records.

        Raises:
            WireError: it is no such request.
        """
        exporters = self._collector.routes.get((receiver, signal), ())
        if signal == "logs":
            records = list(otlp.logs(message))
            self._each(exporters, lambda _: show_logs(records))
        elif signal == "traces":
            spans = list(otlp.spans(message))
            self._each(exporters, lambda one: self._spans(one, spans))
        else:
            self._each(exporters, lambda _: log(f"metrics: {len(wire.messages(wire.decode(message), 1))} resources"))

    def _each(self, exporters: Sequence[Exporter], pass_on: Callable[[Exporter], None]) -> None:
        for exporter in exporters:
            pass_on(exporter)

    def _spans(self, exporter: Exporter, spans: list[otlp.Span]) -> None:
        if exporter.kind == "zipkin":
            self.tasks.start(to_zipkin(exporter.url, spans))
        else:
            show_spans(spans)


def handler(receiver: Receiver, pipelines: Pipelines) -> Handler:
    """The handler of a receiver's port."""
    return _over_grpc(receiver, pipelines) if receiver.protocol == "grpc" else _over_http(receiver, pipelines)


def _over_grpc(receiver: Receiver, pipelines: Pipelines) -> Handler:
    def method(signal: str) -> Method:
        async def export(message: bytes, request: Request) -> bytes:
            if not _allowed(receiver, request):
                raise GrpcError(_UNAUTHENTICATED, "missing or wrong token in the header authorization")
            pipelines.take(receiver.name, signal, message)
            return b""

        return export

    return GrpcServer({path: method(signal) for signal, path in _SERVICES.items()})


def _over_http(receiver: Receiver, pipelines: Pipelines) -> Handler:
    async def export(request: Request) -> Response:
        signal = request.path.removeprefix("/v1/")
        if signal not in SIGNALS or request.method != "POST":
            return Response(404, b"404 page not found\n")
        if not _allowed(receiver, request):
            return Response(401, b"missing or wrong token in the header authorization\n")
        if request.headers.get("content-type").partition(";")[0] != "application/x-protobuf":
            return Response(415, b"the lab's collector takes application/x-protobuf\n")
        try:
            pipelines.take(receiver.name, signal, request.body)
        except wire.WireError as error:
            return Response(400, f"{error}\n".encode())
        return Response(200, b"", "application/x-protobuf")

    return export


def _allowed(receiver: Receiver, request: Request) -> bool:
    return not receiver.token or request.headers.get("authorization") == f"Bearer {receiver.token}"


async def _healthy(_: Request) -> Response:
    return Response(200, b'{"status":"Server available"}', "application/json")


def main(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM; exit code 1 for a configuration that is not understood, or a port that cannot be opened."""
    parser = argparse.ArgumentParser(prog="otelcol", description="OTLP in; standard output and Zipkin out.")
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        collector = load(options.config)
    except ConfigError as error:
        log(f"Error: failed to get config: {error}")
        return 1
    return asyncio.run(_run(collector))


async def _run(collector: Collector) -> int:
    stop = http.stop_requested()
    pipelines = Pipelines(collector)
    ports = [(one.port, handler(one, pipelines), f"{one.name} ({one.protocol})") for one in collector.receivers]
    if collector.health:
        ports.append((HEALTH_PORT, _healthy, "health_check"))
    servers = []
    for port, serve, name in ports:
        servers.append(http.Server(serve))
        try:
            await servers[-1].listen(None, port)
        except OSError as error:
            log(f"Error: cannot start {name}: port {port}: {error.strerror or error}")
            return 1
        log(f"{name} listens on port {port}")
    log("Everything is ready. Begin running and processing data.")
    await stop.wait()
    await asyncio.gather(*(server.finish(http.LINGER_SECONDS) for server in servers))
    await pipelines.tasks.finish()
    return 0
