"""The echo server of Istio's tests, over its three protocols."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mesh_lab.apps.grpc import wire
from mesh_lab.apps.http.client import Client, fetch, parse_url
from mesh_lab.apps.samples import istioecho
from mesh_lab.apps.samples.istioecho import Echo, Identity, listen_tcp
from tests.unit.apps.conftest import Start
from tests.unit.apps.grpc.calls import call
from tests.unit.apps.samples.certificates import Authority

WHO = Identity("v1", "echo-v1-x", cluster="east")


async def test_over_http_it_tells_the_request_in_lines(start: Start) -> None:
    _, url = await start(Echo(WHO))
    port = url.rpartition(":")[2]
    answer = await fetch(f"{url}/a?b=c", headers={"x-mine": "1"})
    lines = answer.body.decode().splitlines()
    assert lines[:5] == [
        "ServiceVersion=v1",
        f"ServicePort={port}",
        "Cluster=east",
        f"Host=127.0.0.1:{port}",
        "URL=/a?b=c",
    ]
    assert {"StatusCode=200", "Method=GET", "Proto=HTTP/1.1", "IP=127.0.0.1", "RequestHeader=X-Mine:1"} < set(lines)
    assert lines[-1] == "Hostname=echo-v1-x"
    second = Client(parse_url(url)[0], http2=True)
    assert b"\nProto=HTTP/2.0\n" in (await second.request("GET", "/")).body
    second.close()


async def test_the_query_says_how_to_answer(start: Start) -> None:
    _, url = await start(Echo(WHO))
    asked = await fetch(f"{url}/?codes=503:1,200:0&headers=x-a:1,x-b:2&delay=1ms")
    assert (asked.status, asked.headers.get("x-a"), asked.headers.get("x-b")) == (503, "1", "2")
    assert b"StatusCode=503" in asked.body
    for wrong in ("codes=7", "codes=x", "headers=a", "delay=soon", "codes=200:-1"):
        assert (await fetch(f"{url}/?{wrong}")).status == 400


async def test_over_grpc_it_answers_the_call_of_its_service(start: Start) -> None:
    _, url = await start(Echo(WHO))
    answer = await call(url, "/proto.EchoTestService/Echo", wire.encode({1: "hello"}), **{"x-mine": "1"})
    lines = wire.text(answer, 1).splitlines()
    assert {"Echo=hello", "Proto=GRPC", "ServiceVersion=v1", "RequestHeader=x-mine:1", "StatusCode=200"} < set(lines)


@pytest.mark.parametrize("first", [False, True])
async def test_over_tcp_it_tells_itself_and_returns_the_words(first: bool) -> None:
    server = await listen_tcp(WHO, 0, "127.0.0.1", first=first)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        if first:
            assert await reader.readline() == b"server-first-protocol\n"
        writer.write(b"hello\n")
        writer.write_eof()
        lines = (await reader.read()).decode().splitlines()
        writer.close()
    assert lines[0] == "StatusCode=200"
    assert lines[-2:] == ["Hostname=echo-v1-x", "hello"]


def test_the_arguments_of_the_sample_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Identity, list[int], list[int], list[int]]] = []

    async def run(identity: Identity, options: object) -> int:
        seen.append((identity, options.port, options.grpc, options.tcp))  # type: ignore[attr-defined]
        return 0

    monkeypatch.setattr(istioecho, "_run", run)
    monkeypatch.setenv("HOSTNAME", "echo-v2-y")
    ports = "--metrics=15014 --xds-grpc-server=17070 --port 18080 --tcp 19090 --grpc 17070 --grpc 17171 --port 8080"
    assert istioecho.main([*ports.split(), "--version", "v2", "--crt=/cert.crt", "--key=/cert.key"]) == 0
    assert seen == [(Identity("v2", "echo-v2-y"), [18080, 8080], [17070, 17171], [19090])]


def test_ports_with_mutual_tls_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        istioecho.main(["--port", "8443", "--mtls", "8443"])
    assert "no ports with mutual TLS" in capsys.readouterr().err


def test_a_port_with_tls_needs_its_certificate(tmp_path: Path) -> None:
    files = Authority(tmp_path, "ca").issue("echo")
    assert istioecho._context(str(files.certificate), str(files.key)) is not None
    assert istioecho._context("", "") is None
