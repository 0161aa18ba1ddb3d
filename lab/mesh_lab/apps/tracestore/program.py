"""`mesh-lab-app jaeger`, `zipkin` and `skywalking-oap`: one store of traces, with the ports and the face of each.

All take spans in Zipkin's, OpenTelemetry's and SkyWalking's protocols, and answer to the three programs' interfaces.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import AsyncIterator, Sequence

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.grpc.answers import is_call
from mesh_lab.apps.grpc.server import GrpcServer
from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.otel import exporters, otlp
from mesh_lab.apps.service import run
from mesh_lab.apps.tracestore import skywalking
from mesh_lab.apps.tracestore.jaeger import JaegerApi
from mesh_lab.apps.tracestore.page import page
from mesh_lab.apps.tracestore.skywalking import SkyWalkingApi
from mesh_lab.apps.tracestore.spans import Store
from mesh_lab.apps.tracestore.zipkin import ZipkinApi, span_of

GRPC_PORT, HTTP_PORT, ZIPKIN_PORT = 4317, 4318, 9411
SKYWALKING_PORT, SKYWALKING_QUERY_PORT, SKYWALKING_UI_PORT = 11800, 12800, 8080
JAEGER_PORT, JAEGER_METRICS_PORT, HEALTH_PORT = 16686, 8888, 13133
TRACES, TRACES_OVER_HTTP = "/opentelemetry.proto.collector.trace.v1.TraceService/Export", "/v1/traces"
_PROTOBUF = "application/x-protobuf"


class Receiver:
    """Takes spans in each protocol, and tells them, on any port. `face` is the program that it stands for."""

    def __init__(self, store: Store, face: str) -> None:
        self._store = store
        self._face = face
        self._interfaces = (ZipkinApi(store), JaegerApi(store), SkyWalkingApi(store))
        self._grpc = GrpcServer({TRACES: self._take}, {skywalking.SEGMENTS: self._segments})

    def streams(self, path: str) -> bool:
        """See Streaming."""
        return self._grpc.streams(path)

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        if is_call(request):
            return await self._grpc(request)
        if request.method == "POST" and request.path == TRACES_OVER_HTTP:
            return await self._over_http(request)
        for interface in self._interfaces:
            found = interface.answer(request)
            if found is not None:
                return found
        if request.path in ("/health", "/status", "/healthcheck"):
            return Response(200, json.dumps({"status": "UP"}).encode(), "application/json")
        if request.path == "/metrics":
            return Response(200)
        return page(self._store, request, self._face) if request.method == "GET" else Response(404, b"not found\n")

    async def _over_http(self, request: Request) -> Response:
        if not request.headers.get("content-type").startswith(_PROTOBUF):
            return Response(415, f"only {_PROTOBUF} is taken here\n".encode())
        try:
            return Response(200, await self._take(request.body, request), _PROTOBUF)
        except wire.WireError as error:
            return Response(400, f"{error}\n".encode())

    async def _take(self, message: bytes, _: Request) -> bytes:
        self._store.add(span_of(exporters.zipkin(span), span.resource) for span in otlp.spans(message))
        return b""

    async def _segments(self, segments: AsyncIterator[bytes], _: Request) -> bytes:
        async for segment in segments:
            self._store.add(skywalking.spans_of(segment))
        return b""


def jaeger(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with Jaeger's ports."""
    _ignored(arguments, "jaeger", "Keeps traces, and shows them as Jaeger does.")
    ports = (GRPC_PORT, HTTP_PORT, ZIPKIN_PORT, JAEGER_PORT, JAEGER_METRICS_PORT, HEALTH_PORT)
    return run("jaeger", Receiver(Store(), "jaeger"), ports)


def zipkin(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with Zipkin's port."""
    _ignored(arguments, "zipkin", "Keeps traces, and shows them as Zipkin does.")
    return run("zipkin", Receiver(Store(), "zipkin"), (ZIPKIN_PORT,))


def skywalking_oap(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM, with the ports of SkyWalking's server."""
    _ignored(arguments, "skywalking-oap", "Keeps traces, and tells of them as SkyWalking does.")
    return run("skywalking-oap", Receiver(Store(), "skywalking"), (SKYWALKING_PORT, SKYWALKING_QUERY_PORT))


def skywalking_ui(arguments: Sequence[str]) -> int:
    """Serve the store's page until SIGTERM; the store is at `SW_OAP_ADDRESS`."""
    _ignored(arguments, "skywalking-ui", "Shows what SkyWalking's server has.")
    store = os.environ.get("SW_OAP_ADDRESS", f"http://127.0.0.1:{SKYWALKING_QUERY_PORT}").partition(",")[0]
    return run("skywalking-ui", Forwarder(store.rstrip("/")), (SKYWALKING_UI_PORT,))


class Forwarder:
    """Passes each request on to another server."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(self, request: Request) -> Response:
        """Answer with what the other server answers, or 502."""
        headers = {"content-type": request.headers.get("content-type") or "text/plain"}
        try:
            given = await fetch(self._url + request.target, method=request.method, headers=headers, body=request.body)
        except (ApiError, ValueError) as error:
            return Response(502, f"{self._url}: {error}\n".encode())
        return Response(given.status, given.body, given.headers.get("content-type") or "text/plain")


def _ignored(arguments: Sequence[str], name: str, what: str) -> None:
    """Options of the program that this one stands for are taken, and mean nothing here."""
    argparse.ArgumentParser(prog=name, description=what).parse_known_args(arguments)
