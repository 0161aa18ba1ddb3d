"""Probes reach their verdicts at their thresholds, and a container is found ready as soon as it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from mesh_lab.kube import VERSION
from mesh_lab.kube.node.pod import checks, grpchealth, probes
from mesh_lab.kube.node.pod.checks import Result
from mesh_lab.kube.node.pod.probes import Kind, Verdict
from mesh_lab.kube.objects.containers import HttpGet, Probe
from tests.unit.kube.node.pods import typed_container


def probe(**fields: Any) -> Probe:
    return msgspec.convert(fields, Probe)


def test_a_verdict_needs_as_many_results_in_a_row_as_its_threshold() -> None:
    verdict = Verdict(probe(successThreshold=2, failureThreshold=3), healthy=False)
    assert [verdict.count(ok) for ok in (True, False, True, True)] == [False, False, False, True]
    assert verdict.healthy
    assert [verdict.count(ok) for ok in (False, False, True, False, False, False)] == [False] * 5 + [True]
    assert not verdict.healthy


class Seen:
    def __init__(self) -> None:
        self.verdicts: list[tuple[Kind, bool]] = []
        self.failures: list[str] = []
        self.first = asyncio.Event()

    def reports(self) -> probes.Reports:
        def verdict(kind: Kind, ok: bool) -> None:
            self.verdicts.append((kind, ok))
            self.first.set()

        return probes.Reports(verdict, lambda _, message: self.failures.append(message))


async def test_readiness_is_found_between_the_periods_and_early_failures_do_not_count() -> None:
    results = iter([Result(False, "no"), Result(False, "no"), Result(True)])

    async def check() -> Result:
        return next(results, Result(True))

    seen = Seen()
    task = asyncio.create_task(probes.run(Kind.READINESS, probe(periodSeconds=3600), check, seen.reports()))
    async with asyncio.timeout(5):
        await seen.first.wait()
    task.cancel()
    assert seen.verdicts == [(Kind.READINESS, True)]
    assert seen.failures == []


async def test_a_startup_probe_ends_with_its_verdict() -> None:
    async def check() -> Result:
        return Result(True)

    assert await probes.run(Kind.STARTUP, probe(), check, Seen().reports())


async def test_a_liveness_probe_ends_with_its_bad_verdict() -> None:
    """The container is about to be restarted: to end it once more would run its hook again."""

    async def check() -> Result:
        return Result(False, "no")

    seen = Seen()
    fast = msgspec.structs.replace(probe(failureThreshold=2), period_seconds=0.01)
    async with asyncio.timeout(5):
        assert not await probes.run(Kind.LIVENESS, fast, check, seen.reports())
    assert seen.verdicts == [(Kind.LIVENESS, False)]
    assert seen.failures == ["no", "no"]


async def test_a_hanging_check_fails_at_its_time_limit() -> None:
    async def check() -> Result:
        await asyncio.Event().wait()
        raise AssertionError

    seen = Seen()
    fast = msgspec.structs.replace(probe(failureThreshold=1), period_seconds=0.01, timeout_seconds=0.02)
    assert not await probes.run(Kind.STARTUP, fast, check, seen.reports())
    assert "did not answer within 0.02s" in seen.failures[0]


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving_with(serve: Serve) -> AsyncIterator[int]:
    """A server on a free port, which has seen every connection to its end when this ends."""
    connections: list[asyncio.Task[None]] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                await serve(reader, writer)
        finally:
            writer.transport.abort()
            await asyncio.sleep(0)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(asyncio.get_running_loop().create_task(handle(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1]
        await asyncio.gather(*connections)


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives one answer to everything; its port, and the requests that came."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        writer.write_eof()
        await reader.read()

    async with serving_with(serve) as port:
        yield port, requests


@pytest.mark.parametrize(
    ("answer", "ok", "message"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nfine", True, ""),
        (b"HTTP/1.1 399 Odd\r\n\r\n", True, ""),
        (b"HTTP/1.1 503 No\r\n\r\n", False, "HTTP probe failed with statuscode: 503"),
        (b"SSH-2.0\r\n", False, "malformed HTTP response"),
        (b"", False, "EOF"),
    ],
)
async def test_http(answer: bytes, ok: bool, message: str) -> None:
    async with server(answer) as (port, requests):
        action = msgspec.convert(
            {"port": port, "path": "ready", "httpHeaders": [{"name": "host", "value": "x"}]}, HttpGet
        )
        result = await checks.http(action, "127.0.0.1", port)
    assert result.ok is ok
    assert message in result.message
    assert requests[0].startswith(b"GET /ready HTTP/1.1\r\n")
    assert b"\r\nhost: x\r\n" in requests[0]
    assert b"Host: 127" not in requests[0]
    assert f"\r\nUser-Agent: kube-probe/{VERSION.removeprefix('v').removesuffix('.0')}\r\n".encode() in requests[0]


@pytest.mark.parametrize(
    "check",
    [
        lambda port: checks.tcp("127.0.0.1", port),
        lambda port: checks.http(HttpGet(port=port), "127.0.0.1", port),
        lambda port: grpchealth.check("127.0.0.1", port, ""),
    ],
)
async def test_a_closed_port(check: Callable[[int], Awaitable[Result]]) -> None:
    async with server(b"") as (port, _):
        pass
    result = await check(port)
    assert not result.ok
    assert "connection refused" in result.message


async def test_tcp() -> None:
    async with server(b"") as (port, requests):
        assert (await checks.tcp("127.0.0.1", port)).ok
    assert requests == []


def test_ports_by_name() -> None:
    container = typed_container(ports=[{"name": "web", "containerPort": 8080}])
    assert checks.port_number("web", container) == 8080
    assert checks.port_number("81", container) == 81
    with pytest.raises(ValueError, match='"other"'):
        checks.port_number("other", container)


@pytest.mark.parametrize(("serving", "ok"), [(1, True), (2, False), (0, False)])
async def test_grpc_health(serving: int, ok: bool) -> None:
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import StreamEnded

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = H2Connection(H2Configuration(client_side=False))
        connection.initiate_connection()
        while data := await reader.read(4096):
            for event in connection.receive_data(data):
                if isinstance(event, StreamEnded):
                    message = bytes([8, serving]) if serving else b""
                    connection.send_headers(1, [(":status", "200"), ("content-type", "application/grpc")])
                    connection.send_data(1, b"\0" + len(message).to_bytes(4, "big") + message)
                    connection.send_headers(1, [("grpc-status", "0")], end_stream=True)
            writer.write(connection.data_to_send())

    async with serving_with(serve) as port:
        result = await grpchealth.check("127.0.0.1", port, "svc")
    assert result.ok is ok, result
