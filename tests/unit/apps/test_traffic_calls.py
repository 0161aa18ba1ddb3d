"""Calls of gRPC from the traffic client to the echo server, and what is reported of TLS."""

from __future__ import annotations

import json
import ssl
from pathlib import Path
from typing import Any

import pytest

from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.grpc.framing import framed, unframed
from mesh_lab.apps.http.client import Client, parse_url
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.http.server import Server
from mesh_lab.apps.traffic.plan import Plan

from .conftest import Start
from .samples.certificates import Authority
from .test_traffic import carry_out


async def call(start: Start, **wanted: Any) -> dict[str, Any]:
    _, url = await start(Echo("v7"))
    _, (result,), _ = await carry_out(url=f"{url.replace('http', 'grpc', 1)}/shop.Cart/Add", **wanted)
    return result


async def test_a_call_is_answered_with_what_a_request_over_http_gets(start: Start) -> None:
    result = await call(start, show_body=True, body=b"three apples")
    assert (result["status"], result["grpc_status"], result["protocol"], result["version"]) == (200, 0, "gRPC", "v7")
    seen = json.loads(result["body"])
    assert (seen["path"], seen["method"], seen["headers"]["te"]) == ("/shop.Cart/Add", "POST", "trailers")
    assert seen["body_length"] == 5 + 2 + len("three apples")


@pytest.mark.parametrize(
    ("headers", "code"),
    [({"x-echo-status": "503"}, 14), ({"x-echo-status": "403"}, 7), ({"x-echo-status": "500"}, 2), ({}, 0)],
)
async def test_a_status_is_that_of_grpc(start: Start, headers: dict[str, str], code: int) -> None:
    result = await call(start, headers=headers)
    assert (result["status"], result["grpc_status"], result["version"]) == (200, code, "v7")


async def test_a_wrong_instruction_is_an_invalid_argument(start: Start) -> None:
    result = await call(start, headers={"x-echo-delay": "long"})
    assert (result["grpc_status"], result["detail"]) == (3, "delay: 'long' is not a number")


async def test_a_call_that_fails_is_no_error_of_the_run_but_shows_in_its_summary(start: Start) -> None:
    _, url = await start(Echo())
    wanted = {"url": f"{url.replace('http', 'grpc', 1)}/a.B/C", "headers": {"x-echo-status": "503"}, "count": 3}
    ok, _, summary = await carry_out(**wanted)
    assert ok, "each was answered"
    assert summary["statuses"] == {"grpc 14": 3}


async def test_an_answer_without_a_status_of_grpc_breaks_the_protocol(start: Start) -> None:
    async def plain(_: Request) -> Response:
        return Response(200, b"hello")

    _, url = await start(plain)
    ok, (result,), _ = await carry_out(url=f"{url.replace('http', 'grpc', 1)}/a.B/C")
    assert not ok
    assert (result["status"], result["error"]) == (0, "protocol")


@pytest.mark.parametrize("path", ["", "/", "/a.B", "/a.B/", "/a.B/C/D"])
async def test_a_path_that_names_no_method_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"is not of the form grpc://HOST:PORT/PACKAGE\.SERVICE/METHOD"):
        await carry_out(url=f"grpc://127.0.0.1:1{path}")


async def test_each_request_has_its_number_in_a_header(start: Start) -> None:
    _, url = await start(Echo())
    _, results, _ = await carry_out(url=url, count=5, index_header="x-number", show_body=True)
    assert [json.loads(each["body"])["headers"]["x-number"] for each in results] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
@pytest.mark.parametrize("http2", [False, True])
async def test_the_version_of_tls_and_the_certificate_are_reported(version: str, http2: bool, tmp_path: Path) -> None:
    files = Authority(tmp_path, "roots").issue("shop.example.com")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.certificate, files.key)
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = Server(Echo())
    port = await server.listen("127.0.0.1", 0, context)
    _, (result,), _ = await carry_out(
        url=f"https://127.0.0.1:{port}/",
        insecure=True,
        tls_version=version,
        show_certificate=True,
        http2=http2,
    )
    await server.close(1)
    assert result["tls"] == version
    assert result["certificate"] == files.certificate.read_text()


def test_a_version_of_tls_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"tls_version: 'SSLv3' is none of TLSv1, TLSv1\.1, TLSv1\.2"):
        Plan(url="https://x", tls_version="SSLv3")


async def test_the_health_check_is_answered_as_clients_of_grpc_expect(start: Start) -> None:
    server, url = await start(Echo())
    origin, _ = parse_url(url)
    client = Client(origin, http2=True)
    call = {"content-type": "application/grpc"}
    answer = await client.request("POST", "/grpc.health.v1.Health/Check", call, framed(b""))
    client.close()
    assert (unframed(answer.body), answer.trailers.get("grpc-status")) == (b"\x08\x01", "0")
    assert server
