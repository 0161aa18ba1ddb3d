"""The OpenTelemetry collector: its configuration, what it receives, and what it passes on."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.client import fetch
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.samples.otel import otlp, service
from mesh_lab.apps.samples.otel.config import Collector, ConfigError, Exporter, Receiver, load
from mesh_lab.apps.samples.otel.exporters import to_zipkin, zipkin
from mesh_lab.apps.samples.otel.service import Pipelines, handler
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call, post

CONFIG = """
receivers:
  opencensus: {endpoint: 0.0.0.0:55678}
  otlp/auth:
    protocols:
      grpc: {endpoint: 0.0.0.0:5317, auth: {authenticator: bearertokenauth}}
  otlp:
    protocols:
      grpc: {endpoint: 0.0.0.0:4317}
      http:
processors: {batch: }
exporters:
  zipkin: {endpoint: http://zipkin.istio-system.svc:9411/api/v2/spans}
  debug: {verbosity: detailed}
extensions: {bearertokenauth: {token: "secret"}, health_check: , pprof: , zpages: }
service:
  extensions: [health_check, pprof, zpages, bearertokenauth]
  pipelines:
    logs: {receivers: [otlp], processors: [batch], exporters: [debug]}
    traces: {receivers: [otlp, opencensus], exporters: [zipkin, debug]}
    traces/auth: {receivers: [otlp/auth], exporters: [debug]}
"""
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
DEBUG = Exporter("debug")

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        (tmp_path / "config.yaml").write_text(text)
        return tmp_path / "config.yaml"

    return to_file


def test_the_configuration_of_the_sample_is_understood(write: Write) -> None:
    collector = load(write(CONFIG))
    assert collector.receivers == (
        Receiver("otlp/auth", "grpc", 5317, "secret"),
        Receiver("otlp", "grpc", 4317),
        Receiver("otlp", "http", 4318),
    )
    to = Exporter("zipkin", "http://zipkin.istio-system.svc:9411/api/v2/spans")
    assert collector.routes["otlp", "traces"] == (to, DEBUG)
    assert collector.routes["otlp", "logs"] == collector.routes["otlp/auth", "traces"] == (DEBUG,)
    assert collector.health


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("  debug: {verbosity: detailed}", "  kafka: {}", "exporters: the lab's collector has no 'kafka'"),
        ("  opencensus:", "  jaeger:", "receivers: the lab's collector has no 'jaeger'"),
        ("batch: }", "tail_sampling: }", "processors: the lab's collector has no 'tail_sampling'"),
        ("exporters: [debug]}", "exporters: [other]}", "'other' is not declared"),
        ("    logs:", "    profiles:", "only logs, traces, metrics"),
        ("      http:", "      thrift:", "only grpc and http"),
        ("0.0.0.0:4317", "anywhere", "HOST:PORT expected"),
        ('token: "secret"', 'token: ""', "no such extension with a token"),
        ("http://zipkin", "https://zipkin", "http://... expected"),
        ("service:", "service: []\nother:", "service: a map expected"),
    ],
)
def test_what_is_not_understood_is_refused(write: Write, before: str, after: str, message: str) -> None:
    assert before in CONFIG
    with pytest.raises(ConfigError) as error:
        load(write(CONFIG.replace(before, after)))
    assert message in str(error.value)


def pair(name: str, value: bytes) -> bytes:
    return wire.encode({1: name, 2: value})


def fixed64(number: int, value: int) -> bytes:
    return bytes([number << 3 | 1]) + struct.pack("<Q", value)


def request(*items: bytes) -> bytes:
    resource = wire.encode({1: [pair("service.name", wire.encode({1: "httpbin"}))]})
    return wire.encode({1: [wire.encode({1: resource, 2: [wire.encode({2: list(items)})]})]})


TRACE_ID, SPAN_ID = bytes(range(16)), bytes(range(8))
RECORD = fixed64(1, 1_600_000_000_500_000_000) + wire.encode(
    {
        5: wire.encode({1: '"GET /status/418 HTTP/1.1" 418\n'}),
        6: [pair("n", wire.encode({3: 7}))],
        9: TRACE_ID,
        10: SPAN_ID,
    }
)
SPAN = (
    wire.encode({1: TRACE_ID, 2: SPAN_ID, 4: SPAN_ID[::-1], 5: "httpbin:8000/*", 6: 2})
    + fixed64(7, 1_600_000_000_000_000_000)
    + fixed64(8, 1_600_000_000_003_000_000)
    + wire.encode({9: [pair("http.status_code", wire.encode({1: "503"}))], 15: wire.encode({3: 2})})
)


def test_values_of_every_kind_are_read() -> None:
    double = bytes([4 << 3 | 1]) + struct.pack("<d", 1.5)
    values = {
        "text": wire.encode({1: "x"}),
        "yes": wire.encode({2: 1}),
        "number": wire.encode({3: -4}),
        "double": double,
        "list": wire.encode({5: wire.encode({1: [wire.encode({1: "a"}), wire.encode({3: 2})]})}),
        "map": wire.encode({6: wire.encode({1: [pair("k", wire.encode({1: "v"}))]})}),
        "bytes": wire.encode({7: b"\x01\x02"}),
        "empty": b"",
    }
    record = next(otlp.logs(request(wire.encode({6: [pair(name, value) for name, value in values.items()]}))))
    assert record.attributes == {
        "text": "x",
        "yes": True,
        "number": -4,
        "double": 1.5,
        "list": ["a", 2],
        "map": {"k": "v"},
        "bytes": "0102",
        "empty": "",
    }


def collector(*exporters: Exporter, token: str = "") -> tuple[Receiver, Pipelines]:
    routes = {("otlp", signal): exporters for signal in ("logs", "traces", "metrics")}
    return Receiver("otlp", "grpc", 4317, token), Pipelines(Collector((), routes))


async def test_logs_over_grpc_are_written_as_the_debug_exporter_does(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    _, url = await start(handler(*collector(DEBUG)))
    assert await call(url, LOGS, request(RECORD)) == {}
    said = capsys.readouterr().out
    assert "     -> service.name: Str(httpbin)\n" in said
    assert 'Timestamp: 2020-09-13 12:26:40.500000000 +0000 UTC\nBody: Str("GET /status/418 HTTP/1.1" 418)\n' in said
    assert "     -> n: Int(7)\n" in said
    assert f"Trace ID: {TRACE_ID.hex()}\n" in said


async def test_spans_over_http_are_written_and_posted_to_zipkin(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    posted: list[bytes] = []

    async def server(request: Request) -> Response:
        posted.append(request.body)
        return Response(202)

    _, there = await start(server)
    receiver, pipelines = collector(DEBUG, Exporter("zipkin", f"{there}/api/v2/spans"))
    _, url = await start(handler(Receiver("otlp", "http", 4318, receiver.token), pipelines))
    kind = {"content-type": "application/x-protobuf"}
    answer = await fetch(f"{url}/v1/traces", method="POST", headers=kind, body=request(SPAN))
    assert (answer.status, answer.body) == (200, b"")
    await pipelines.tasks.finish()
    assert json.loads(posted[0]) == [
        {
            "traceId": TRACE_ID.hex(),
            "id": SPAN_ID.hex(),
            "parentId": SPAN_ID[::-1].hex(),
            "name": "httpbin:8000/*",
            "kind": "SERVER",
            "timestamp": 1_600_000_000_000_000,
            "duration": 3000,
            "localEndpoint": {"serviceName": "httpbin"},
            "tags": {"http.status_code": "503", "error": "true"},
        }
    ]
    said = capsys.readouterr().out
    assert "    Kind           : Server\n" in said
    assert "    Status code    : Error\n" in said
    assert (await fetch(f"{url}/v1/traces", method="POST", headers=kind, body=b"\x08")).status == 400
    assert (await fetch(f"{url}/v1/traces", method="POST", body=b"{}")).status == 415
    assert (await fetch(f"{url}/v1/profiles", method="POST")).status == 404


async def test_a_token_is_asked_for_where_one_is_configured(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    receiver, pipelines = collector(DEBUG, token="secret")
    _, url = await start(handler(receiver, pipelines))
    one = struct.pack(">BI", 0, 0)
    assert (await post(url, TRACES, one)).headers.get("grpc-status") == "16"
    assert (await post(url, TRACES, one, authorization="Bearer other")).headers.get("grpc-status") == "16"
    assert await call(url, TRACES, request(SPAN), authorization="Bearer secret") == {}
    assert "Span #0" in capsys.readouterr().out
    _, url = await start(handler(Receiver("otlp", "http", 4318, "secret"), pipelines))
    assert (await fetch(f"{url}/v1/logs", method="POST")).status == 401


async def test_metrics_are_counted(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    _, url = await start(handler(*collector(DEBUG)))
    assert await call(url, METRICS, request(b"")) == {}
    assert "metrics: 1 resources" in capsys.readouterr().err


async def test_a_zipkin_that_is_not_there_is_a_line_in_the_log(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    span = next(otlp.spans(request(SPAN)))
    await to_zipkin("http://127.0.0.1:1/api/v2/spans", [span])
    assert "exporter zipkin: http://127.0.0.1:1/api/v2/spans: refused" in capsys.readouterr().err

    async def refuse(_: Request) -> Response:
        return Response(500)

    _, url = await start(refuse)
    await to_zipkin(url, [span])
    assert "status 500" in capsys.readouterr().err


def test_a_span_without_a_parent_or_a_kind_has_none_in_zipkin() -> None:
    span = next(otlp.spans(request(wire.encode({1: TRACE_ID, 2: SPAN_ID, 5: "x"}))))
    value = zipkin(span)
    assert {"parentId", "kind"}.isdisjoint(value)
    assert value["duration"] == 1


def test_a_wrong_configuration_ends_the_program(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main([f"--config={write('receivers: {kafka: {}}')}"]) == 1
    assert "Error: failed to get config: receivers:" in capsys.readouterr().err
