"""The control port: what it lets whom do, and how it says no."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from mesh_lab.apps.__main__ import main
from mesh_lab.apps.echo.handler import Echo
from mesh_lab.apps.http.answers import Answer
from mesh_lab.apps.http.client import Client, fetch, parse_url
from mesh_lab.apps.http.messages import Request, Response
from mesh_lab.apps.traffic import control as module
from mesh_lab.apps.traffic import orders
from mesh_lab.apps.traffic.control import BEGUN, Control

from .conftest import Start

TOKEN = {"x-control-token": "s3cret"}


async def post(url: str, order: Any = None, headers: dict[str, str] = TOKEN, method: str = "POST") -> Answer:
    body = order if isinstance(order, bytes) else json.dumps(order or {}).encode()
    return await fetch(url, method=method, headers=headers, body=body)


async def test_a_run_is_carried_out_as_by_the_command(start: Start) -> None:
    echo = Echo("v7")
    (_, target), (_, port) = await start(echo), await start(Control("s3cret"))
    answer = await post(f"{port}/send", {"url": target, "count": 30, "concurrency": 4, "distinct_ids": True})
    begun, *results, last = answer.body.splitlines(keepends=True)
    assert (answer.status, begun) == (200, BEGUN)
    assert len(results) == len(echo.attempts.all()) == 30
    assert json.loads(last)["summary"]["versions"] == {"v7": 30}


async def test_every_option_reaches_the_plan() -> None:
    given = {
        "url": "http://a",
        "count": 3,
        "rate": 5,
        "method": "post",
        "headers": {"X-One": "1"},
        "body": "hello",
        "timeout": 2,
        "deadline": 9.5,
        "http2": True,
        "new_connections": True,
        "distinct_ids": True,
        "show_body": True,
        "show_header": ["X-Two"],
        "ca": "/ca.pem",
        "ca_pem": "-",
        "certificate_pem": "+",
        "insecure": True,
        "server_name": "b",
        "summary_only": True,
    }
    plan = orders.plan_of(json.dumps(given).encode())
    assert (plan.method, plan.headers, plan.body, plan.show_headers) == ("POST", {"x-one": "1"}, b"hello", ("x-two",))
    assert (plan.rate, plan.concurrency) == (5.0, 100)
    same = {"url", "count", "timeout", "deadline", "http2", "new_connections", "distinct_ids", "show_body", "ca"}
    same |= {"ca_pem", "certificate_pem", "insecure", "server_name", "summary_only"}
    assert {name: getattr(plan, name) for name in same} == {name: given[name] for name in same}


@pytest.mark.parametrize("headers", [{}, {"x-control-token": ""}, {"x-control-token": "s3cre"}])
async def test_nobody_sends_without_the_token(start: Start, headers: dict[str, str]) -> None:
    echo = Echo()
    (_, target), (_, port) = await start(echo), await start(Control("s3cret"))
    for path in ("/send", "/stop", "/admin", "/other"):
        assert (await post(f"{port}{path}", {"url": target}, headers)).status == 401
    assert echo.attempts.total == 0


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "the body is not a JSON object"),
        (b"[" * 100_000, "the body is not JSON"),
        ({"count": 1}, "url: is missing"),
        ({"url": "http://a", "colour": 1}, "colour: there is no such field"),
        ({"url": "http://a", "count": "3"}, 'count: "3" is not a whole number'),
        ({"url": "http://a", "count": True}, "count: true is not a whole number"),
        ({"url": "http://a", "count": 0}, "count: 0 is not between"),
        ({"url": "http://a", "count": 50_001}, "count: 50001 is more than 50000"),
        ({"url": "http://a", "count": 1_001, "show_body": True}, "count: 1001 is more than 1000"),
        ({"url": "http://a", "concurrency": 5000}, "concurrency: 5000"),
        ({"url": "http://a", "rate": -1}, "rate: -1"),
        ({"url": "http://a", "timeout": 0}, "timeout: 0"),
        ({"url": "http://a", "deadline": 601}, "deadline: 601"),
        ({"url": "http://a", "headers": {"a": 1}}, 'headers: {"a": 1} is not an object of texts'),
        ({"url": "http://a", "show_header": "a"}, 'show_header: "a" is not a list of texts'),
        ({"url": "ftp://a"}, "url: 'ftp://a'"),
        ({"url": "http://"}, "url: 'http://'"),
        ({"url": "tcp://a"}, "url: 'tcp://a'"),
        ({"url": "https://a", "ca_pem": "no certificate"}, "ca_pem: cannot be used"),
        ({"url": "https://a", "certificate_pem": "none"}, "certificate_pem: cannot be used"),
        ({"url": "https://a", "ca": "/no/such/file"}, "ca: cannot be used"),
    ],
)
async def test_what_cannot_be_sent_is_refused_with_the_fields_name(start: Start, order: Any, message: str) -> None:
    _, port = await start(Control("s3cret"))
    answer = await post(f"{port}/send", order)
    assert answer.status == 400
    assert answer.body.decode().startswith(message)


async def test_other_paths_methods_and_sizes_are_refused(start: Start) -> None:
    _, port = await start(Control("s3cret"))
    assert (await post(f"{port}/other")).status == 404
    assert (await post(f"{port}/send", method="PUT")).status == 405
    assert (await post(f"{port}/send", b" " * (orders.MAX_ORDER_BYTES + 1))).status == 413
    assert (await post(f"{port}/stop?run=a")).status == 404


async def test_a_run_can_be_stopped_and_counts_as_whole(start: Start) -> None:
    echo = Echo()
    (_, target), (_, port) = await start(echo), await start(Control("s3cret"))
    order = {"url": target, "count": 50_000, "rate": 50, "concurrency": 4}
    async with asyncio.TaskGroup() as group:
        sent = group.create_task(post(f"{port}/send?run=a", order))
        while echo.attempts.total < 5:  # noqa: ASYNC110 - the server under test has no event to wait for
            await asyncio.sleep(0.01)
        assert (await post(f"{port}/send?run=a", order)).status == 409
        assert (await post(f"{port}/stop?run=a")).status == 200
    summary = json.loads(sent.result().body.splitlines()[-1])["summary"]
    assert not summary["cut_short"]
    assert 5 <= summary["sent"] == echo.attempts.total < 500
    assert (await post(f"{port}/stop?run=a")).status == 404


async def test_a_run_ends_when_nobody_waits_for_it(start: Start) -> None:
    echo, control = Echo(), Control("s3cret")
    (_, target), (_, port) = await start(echo), await start(control)
    origin, path = parse_url(f"{port}/send")
    client = Client(origin)
    body = json.dumps({"url": target, "count": 50_000, "rate": 100, "concurrency": 4}).encode()
    sending = asyncio.ensure_future(client.request("POST", path, TOKEN, body))
    while echo.attempts.total < 5:  # noqa: ASYNC110 - the server under test has no event to wait for
        await asyncio.sleep(0.01)
    assert len(control.runs) == 1
    sending.cancel()
    client.close()
    async with asyncio.timeout(5):
        while control.runs:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)


async def test_runs_at_once_are_limited(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_RUNS", 1)
    echo = Echo()
    (_, target), (_, port) = await start(echo), await start(Control("s3cret"))
    async with asyncio.TaskGroup() as group:
        group.create_task(post(f"{port}/send", {"url": f"{target}/hold"}))
        while not echo.gate.holding():  # noqa: ASYNC110 - the server under test has no event to wait for
            await asyncio.sleep(0.01)
        assert (await post(f"{port}/send", {"url": target})).status == 429
        echo.gate.release()
    assert (await post(f"{port}/send", {"url": target})).status == 200


async def test_envoy_is_asked_and_its_answer_passed_on(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async def envoy(request: Request) -> Response:
        return Response(404 if "none" in request.path else 200, f"{request.method} {request.target}".encode())

    (server, url), (_, port) = await start(envoy), await start(Control("s3cret"))
    monkeypatch.setattr(module, "ADMIN_PORT", int(url.rpartition(":")[2]))
    assert (await post(f"{port}/admin", {"path": "/stats?filter=a"})).body == b"GET /stats?filter=a"
    assert (await post(f"{port}/admin", {"path": "/reset", "post": True})).body == b"POST /reset"
    assert (await post(f"{port}/admin", {"path": "/none"})).status == 404
    for order, message in (
        ({"path": "stats"}, 'path: "stats" is not a text that begins with /'),
        ({}, "path: null is not"),
        ({"path": "/", "post": "no"}, 'post: "no" is not true or false'),
        ({"path": "/", "port": 1}, "port: there is no such field"),
    ):
        refusal = await post(f"{port}/admin", order)
        assert refusal.status == 400
        assert refusal.body.decode().startswith(message)
    await server.close(0.1)
    answer = await post(f"{port}/admin", {"path": "/stats"})
    assert (answer.status, answer.body[:29]) == (502, b"no Envoy answers in this pod:")


@pytest.mark.parametrize("program", ["traffic", "echo"])
def test_a_control_port_needs_a_token(
    program: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CONTROL_TOKEN", raising=False)
    with pytest.raises(SystemExit) as raised:
        main([program, "--port", "0", "--control", "1"])
    assert raised.value.code == 2
    assert "--control needs a token in the environment variable CONTROL_TOKEN" in capsys.readouterr().err


async def test_an_order_may_stand_in_a_header(start: Start) -> None:
    (_, target), (_, port) = await start(Echo("v1")), await start(Control("s3cret"))
    order = {"x-control-order": json.dumps({"url": target, "count": 2})}
    answer = await fetch(f"{port}/send", method="POST", headers=TOKEN | order)
    assert (answer.status, len(answer.body.splitlines())) == (200, 4)
    refused = await fetch(f"{port}/send", method="POST", headers=TOKEN | {"x-control-order": "{"})
    assert refused.status == 400
