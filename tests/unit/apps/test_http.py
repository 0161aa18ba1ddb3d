"""Both protocols, server and client, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from mesh_lab.apps.http.answers import ApiError
from mesh_lab.apps.http.client import Client, fetch, parse_url
from mesh_lab.apps.http.connection import HTTP2_PREFACE
from mesh_lab.apps.http.messages import AbortConnection, Request, Response

from .conftest import Start


async def mirror(request: Request) -> Response:
    text = f"{request.method} {request.path} {sorted(request.query.items())} {request.protocol} {len(request.body)}"
    return Response(201, text.encode(), headers={"x-seen": request.headers.get("x-asked")})


@pytest.mark.parametrize("http2", [False, True])
async def test_request_and_answer_travel_whole(start: Start, http2: bool) -> None:
    _, url = await start(mirror)
    origin, _ = parse_url(url)
    client = Client(origin, http2=http2)

    answer = await client.request("POST", "/a%20b?x=1&y=%C3%A9", {"x-asked": "yes"}, b"z" * 200_000)

    protocol = "HTTP/2" if http2 else "HTTP/1.1"
    assert answer.status == 201
    assert answer.body.decode() == f"POST /a b [('x', '1'), ('y', 'é')] {protocol} 200000"
    assert answer.headers.get("x-seen") == "yes"
    client.close()


@pytest.mark.parametrize("http2", [False, True])
async def test_a_body_in_pieces_arrives_whole(start: Start, http2: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(300):
            yield bytes([number % 256]) * 10_000

    async def handler(_: Request) -> Response:
        return Response(200, pieces())

    _, url = await start(handler)
    client = Client(parse_url(url)[0], http2=http2)
    answer = await client.request("GET", "/")
    assert answer.body == b"".join(bytes([number % 256]) * 10_000 for number in range(300))
    client.close()


async def test_one_connection_is_kept_for_requests_one_after_the_other(start: Start) -> None:
    server, url = await start(mirror)
    client = Client(parse_url(url)[0])
    for _ in range(5):
        await client.request("GET", "/")
    assert len(server.connections) == 1
    client.close()


async def test_http2_requests_share_one_connection(start: Start) -> None:
    server, url = await start(mirror)
    client = Client(parse_url(url)[0], http2=True)
    answers = await asyncio.gather(*(client.request("GET", f"/{number}") for number in range(50)))
    assert [answer.body.split()[1] for answer in answers] == [f"/{number}".encode() for number in range(50)]
    assert len(server.connections) == 1
    client.close()


async def test_pipelined_requests_are_answered_in_order(start: Start) -> None:
    async def handler(request: Request) -> Response:
        await asyncio.sleep(0.02 if request.path == "/slow" else 0)
        return Response(200, request.path.encode())

    _, url = await start(handler)
    reader, writer = await asyncio.open_connection("127.0.0.1", parse_url(url)[0].port)
    writer.write(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\nGET /fast HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    answers = await reader.read()
    assert answers.index(b"/slow") < answers.index(b"/fast")
    writer.close()
    await writer.wait_closed()


async def test_head_is_answered_without_a_body(start: Start) -> None:
    _, url = await start(mirror)
    answer = await fetch(url, method="HEAD")
    assert answer.status == 201
    assert answer.body == b""


@pytest.mark.parametrize("http2", [False, True])
async def test_a_handler_that_aborts_shows_as_a_reset(start: Start, http2: bool) -> None:
    async def handler(_: Request) -> Response:
        raise AbortConnection

    _, url = await start(handler)
    with contextlib.closing(Client(parse_url(url)[0], http2=http2)) as client, pytest.raises(ApiError) as raised:
        await client.request("GET", "/")
    assert raised.value.kind == "reset"


@pytest.mark.parametrize("http2", [False, True])
async def test_a_handler_that_fails_is_a_500_and_the_connection_lives_on(
    start: Start, http2: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    async def handler(request: Request) -> Response:
        if request.path == "/bad":
            raise RuntimeError("no such luck")
        return Response(200, b"fine")

    server, url = await start(handler)
    client = Client(parse_url(url)[0], http2=http2)
    assert (await client.request("GET", "/bad")).status == 500
    assert (await client.request("GET", "/good")).status == 200
    assert len(server.connections) == 1
    assert "no such luck" in capsys.readouterr().err
    client.close()


@pytest.mark.parametrize("http2", [False, True])
async def test_the_time_limit_has_a_name(start: Start, http2: bool) -> None:
    async def handler(_: Request) -> Response:
        await asyncio.sleep(30)
        return Response()

    _, url = await start(handler)
    client = Client(parse_url(url)[0], http2=http2, timeout=0.05)
    with contextlib.closing(client), pytest.raises(ApiError) as raised:
        await client.request("GET", "/")
    assert raised.value.kind == "timeout"


async def test_a_closed_port_and_an_unknown_host_have_names() -> None:
    with pytest.raises(ApiError) as refused:
        await fetch("http://127.0.0.1:1/")
    with pytest.raises(ApiError) as unknown:
        await fetch("http://no-such-host.invalid/")
    assert (refused.value.kind, unknown.value.kind) == ("refused", "dns")


@pytest.mark.parametrize("http2", [False, True])
async def test_closing_finishes_what_is_under_way_and_refuses_what_is_new(start: Start, http2: bool) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def handler(_: Request) -> Response:
        begun.set()
        await release.wait()
        return Response(200, b"finished")

    server, url = await start(handler)
    client = Client(parse_url(url)[0], http2=http2)
    under_way = asyncio.ensure_future(client.request("GET", "/"))
    await begun.wait()
    closing = asyncio.ensure_future(server.close(5))
    await asyncio.sleep(0)
    with pytest.raises(ApiError):
        await fetch(url)
    release.set()
    assert (await under_way).body == b"finished"
    await closing
    assert not server.connections


async def test_who_is_leaving_serves_on_for_a_while_and_closes_what_it_answers(start: Start) -> None:
    server, url = await start(mirror)
    client = Client(parse_url(url)[0])
    await client.request("GET", "/kept")
    leaving = asyncio.ensure_future(server.finish(0.3))
    await asyncio.sleep(0)
    last = await client.request("GET", "/last")
    assert (await fetch(url)).status == 201, "new connections are served too"
    assert last.headers.get("connection") == "close"
    client.close()
    await leaving
    with pytest.raises(ApiError):
        await fetch(url)


async def test_closing_does_not_wait_longer_than_its_limit(start: Start) -> None:
    begun = asyncio.Event()

    async def handler(_: Request) -> Response:
        begun.set()
        await asyncio.sleep(30)
        return Response()

    server, url = await start(handler)
    stuck = asyncio.ensure_future(fetch(url))
    await begun.wait()
    await server.close(0.05)
    with pytest.raises(ApiError):
        await stuck


@pytest.mark.parametrize(
    "bytes_sent",
    # Not HTTP at all; a header without its colon; HTTP/2 HEADERS on stream 0 (RFC 9113, 6.2).
    [
        b"\x00\x01\x02 nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon here\r\n\r\n",
        HTTP2_PREFACE + b"\x00\x00\x00\x01\x05\x00\x00\x00\x00",
    ],
)
async def test_nonsense_ends_the_connection_and_not_the_server(start: Start, bytes_sent: bytes) -> None:
    _, url = await start(mirror)
    reader, writer = await asyncio.open_connection("127.0.0.1", parse_url(url)[0].port)
    writer.write(bytes_sent)
    async with asyncio.timeout(5):
        await reader.read()
    writer.close()
    await writer.wait_closed()
    assert (await fetch(url)).status == 201


@pytest.mark.parametrize("url", ["ftp://host/", "http://", "/path", "http:///x"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no URL of the form"):
        parse_url(url)


def test_the_authority_leaves_out_the_usual_port() -> None:
    assert parse_url("http://reviews/x")[0].authority == "reviews"
    assert parse_url("http://reviews:9080/x")[0].authority == "reviews:9080"
    assert parse_url("https://[::1]:443/x")[0].authority == "[::1]"
